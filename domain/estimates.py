"""What a ranking says: how strong each candidate is, how reliable each judge, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

C = TypeVar("C")
"""What is ranked: a task's answers, or the agents that wrote them."""

SIGMAS = 1.959964
"""Half the width of a 95% interval, in standard deviations."""


class Judge(NamedTuple):
    """Who judges, and how, e.g. `verdict/1`: the same agent by another method is another judge."""

    name: str
    method: str

    @property
    def sees_both(self) -> bool:
        """Whether it is shown the two answers together, so that their order may sway it. A likelihood is of one."""
        return not self.method.startswith("likelihood/")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its standard deviation; 0 where the method knows none."""

    value: float
    deviation: float = 0.0

    @property
    def low(self) -> float:
        """Where the 95% interval begins."""
        return self.value - SIGMAS * self.deviation

    @property
    def high(self) -> float:
        """Where it ends."""
        return self.value + SIGMAS * self.deviation


@dataclass(frozen=True, slots=True)
class Reliability:
    """How a judge judges. `discrimination`: how much of the strengths shows in its ballots; 1 is the average ballot, 0
    is chance, and below it goes against the others. `position_bias` is for what is shown first, `self_preference` for
    its own kin, both in log-odds; None where its ballots cannot tell."""

    discrimination: Estimate
    position_bias: Estimate | None = None
    self_preference: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Ranking(Generic[C]):
    """How strong each candidate is, in log-odds, 0 on average, by the named `method`. `covariance` is of their
    strengths; empty where the method knows none."""

    method: str
    strengths: Mapping[C, float]
    covariance: Mapping[tuple[C, C], float] = field(default_factory=dict)
    judges: Mapping[Judge, Reliability] = field(default_factory=dict)

    def strength(self, one: C) -> Estimate:
        """Of that candidate, against the average of all."""
        return Estimate(self.strengths[one], self._deviation({one: 1.0}))

    def margin(self, one: C, other: C) -> Estimate:
        """By how much one is stronger than the other."""
        return Estimate(self.strengths[one] - self.strengths[other], self._deviation({one: 1.0, other: -1.0}))

    def probability(self, one: C, other: C) -> float:
        """How often one would win a ballot against the other: over all margins that the ballots allow, so that it is
        nearer to one half the less they say.

        MacKay, "The Evidence Framework Applied to Classification Networks", 1992, equation 12.
        """
        margin = self.margin(one, other)
        return sigmoid(margin.value / math.sqrt(1 + math.pi * margin.deviation**2 / 8))

    def _deviation(self, weights: Mapping[C, float]) -> float:
        variance = sum(
            weight * other * self.covariance.get((one, two), 0.0)
            for one, weight in weights.items()
            for two, other in weights.items()
        )
        return math.sqrt(max(0.0, variance))


def sigmoid(log_odds: float) -> float:
    """The probability of these log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else 1 - 1 / (1 + math.exp(log_odds))
