"""News as NATS may carry it at its worst: late, twice, in any order, or not at all."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


class UnreliableNews:
    """Each subscriber's positions that are still to be delivered."""

    def __init__(self, subscribers: Iterable[str]) -> None:
        self._waiting: dict[str, list[int]] = {name: [] for name in subscribers}

    def publish(self, positions: Sequence[int]) -> None:
        """To everybody."""
        for waiting in self._waiting.values():
            waiting += positions

    def take(self, subscriber: str) -> int | None:
        """The next piece of news for this subscriber."""
        waiting = self._waiting[subscriber]
        return waiting.pop(0) if waiting else None

    def duplicate(self, subscriber: str) -> None:
        """All that waits comes twice."""
        self._waiting[subscriber] *= 2

    def drop(self, subscriber: str) -> None:
        """The next one is lost."""
        self.take(subscriber)

    def reorder(self, subscriber: str, chance: random.Random) -> None:
        """What waits comes in another order."""
        chance.shuffle(self._waiting[subscriber])

    def wipe(self) -> None:
        """The server has forgotten everything."""
        for waiting in self._waiting.values():
            waiting.clear()
