"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Exponential, with jitter, in seconds; `reset` after a stable time starts it over."""

    first: float = 0.5
    ceiling: float = 30.0
    chance: random.Random = field(default_factory=random.Random, repr=False)
    failures: int = 0

    def next_delay(self) -> float:
        """Between half and all of `first`, doubled with each failure in a row up to `ceiling`."""
        full: float = min(self.ceiling, self.first * 2 ** min(self.failures, 30))
        self.failures += 1
        return full * self.chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """What runs has proved stable."""
        self.failures = 0
