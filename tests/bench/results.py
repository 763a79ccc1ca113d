"""What a benchmark says, and how it is measured: ours and its peer in turn, and of the rounds the median."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """One round: a figure, in the benchmark's unit, and where it is made of many waits, those (in milliseconds)."""

    figure: float
    waits: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of the rounds. `ratio` is ours to the peer's, so that above 1 we are ahead where the unit is a rate."""

    name: str
    parameters: Mapping[str, Any]
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    latency: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    def as_json(self) -> dict[str, Any]:
        """One object of `.bench/latest.json`."""
        figures = {"ours": self.ours, "peer": self.peer, "ratio": self.ratio, "unit": self.unit}
        named = {"name": self.name, **self.parameters, **figures, "peer_name": self.peer_name, **self.latency}
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in named.items()}


def measured(
    name: str,
    parameters: Mapping[str, Any],
    unit: str,
    ours: Callable[[], Timing],
    peer: Callable[[], Timing] | None = None,
    peer_name: str = "",
    rounds: int = ROUNDS,
) -> Result:
    """Ours, then the peer, and so on for some rounds: what slows the machine down for a while slows both down."""
    our_rounds, peer_rounds = [], []
    for _ in range(rounds):
        our_rounds.append(ours())
        if peer:
            peer_rounds.append(peer())
    return Result(
        name,
        parameters,
        median(timing.figure for timing in our_rounds),
        unit,
        median(timing.figure for timing in peer_rounds) if peer_rounds else None,
        peer_name,
        latency([wait for timing in our_rounds for wait in timing.waits]),
    )


def latency(waits: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of waits in milliseconds; nothing of nothing."""
    if len(waits) < 2:
        return {}
    return {"p50": median(waits), "p99": quantiles(waits, n=100)[98]}
