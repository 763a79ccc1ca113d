"""Ballots: what a judge says of two answers, and what all judges together say of a task's answers.

The statistics stand behind the `Ranker` port; here is what a ballot and a ranked pair mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from uuid import UUID, uuid5

TIE_PROBABILITY = 0.55
"""Two answers whose better one is expected to win less often than this are as good as each other."""
TIE_NATS = 0.01
"""Two likelihood scores that are closer than this (nats per token) are as good as each other."""


class Outcome(StrEnum):
    """What a ballot says of the answer that was shown first and the one shown second."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    UNPARSEABLE = "unparseable"


@dataclass(frozen=True, slots=True)
class Ballot:
    """One judge's opinion of two answers, blinded: `first` and `second` are the answers' last steps, in the order
    shown. `method` names how it was reached and its version, e.g. `likelihood/1`; `steps` are the model calls behind
    it. `margin` is by how much the method prefers its choice (nats per token for `likelihood`), None where it has no
    such number.
    """

    id: UUID
    judge: str
    method: str
    first: UUID
    second: UUID
    outcome: Outcome
    steps: tuple[UUID, ...]
    margin: float | None = None


def ballot_id(run: UUID, judge: str, n: int) -> UUID:
    """The id of a judge's nth ballot follows from its place in the run, so that a repeat is recognised."""
    return uuid5(run, f"{judge}/ballot/{n}")


def preferred(first: float | None, second: float | None) -> tuple[Outcome, float | None]:
    """What two scores (mean nats per token) say, and by what margin. Unparseable where either is missing."""
    if first is None or second is None:
        return Outcome.UNPARSEABLE, None
    margin = abs(first - second)
    if margin < TIE_NATS:
        return Outcome.TIE, margin
    return Outcome.FIRST if first > second else Outcome.SECOND, margin


@dataclass(frozen=True, slots=True)
class RankedPair:
    """Of two answers the better and the worse. `margin` is the difference of their Bradley-Terry strengths (log-odds),
    `probability` what that margin says: how often the chosen one would win a ballot."""

    chosen: UUID
    rejected: UUID
    margin: float
    probability: float
    ballots: tuple[UUID, ...]


def ranked_pairs(strengths: Mapping[UUID, float], ballots: Sequence[Ballot]) -> list[RankedPair]:
    """Every pair of answers that the ballots tell apart, surest first. Ties make no pair, and neither do ballots that
    nobody could read.

    `strengths`: the Bradley-Terry strength (log-odds) of each answer, over all ballots of the task.
    """
    pairs = []
    readable = [ballot for ballot in ballots if ballot.outcome is not Outcome.UNPARSEABLE]
    for one, other in combinations(sorted(strengths), 2):
        chosen, rejected = (one, other) if strengths[one] >= strengths[other] else (other, one)
        margin = strengths[chosen] - strengths[rejected]
        probability = 1 / (1 + math.exp(-margin))
        seen = tuple(b.id for b in readable if {b.first, b.second} == {one, other})
        if seen and probability >= TIE_PROBABILITY:
            pairs.append(RankedPair(chosen, rejected, margin, probability, seen))
    return sorted(pairs, key=lambda pair: -pair.margin)
