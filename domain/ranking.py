"""Ballots: what a judge says of two answers, and what all judges together say of a task's answers.

The statistics stand behind the `Ranker` port; here is what a ballot and a ranked pair mean, and when a pair may be
proposed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Generic, NamedTuple
from uuid import UUID, uuid5

from domain.doubt import Support
from domain.estimates import C, Judge, Ranking

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


class Vote(NamedTuple, Generic[C]):
    """What counts of a ballot. `kin` is 1 where of the two only the first is by the judge itself or by its own model
    and adapter, -1 where only the second is, and 0 where both or neither are, or nobody knows."""

    judge: Judge
    first: C
    second: C
    outcome: Outcome
    kin: int = 0


Tally = Mapping[Vote[C], int]
"""How often each vote was cast: as large as there are judges and candidates, however many ballots there are."""


def tally(ballots: Iterable[Ballot]) -> Counter[Vote[UUID]]:
    """The ballots, counted."""
    return Counter(Vote(Judge(b.judge, b.method), b.first, b.second, b.outcome) for b in ballots)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a pair must reach to be proposed: how often the better answer is expected to win a ballot, how many judges'
    readable ballots must bear on the two, and whether one must be on just these two."""

    probability: float
    judges: int
    compared: bool = False


BAR = Bar(probability=0.7, judges=2)
FORMER_BARS: Mapping[str, Bar] = {"bradley-terry/1": Bar(probability=0.55, judges=1, compared=True)}
"""By the method. A method's pairs never change; a better rule is a new version."""


def bar_of(method: str) -> Bar:
    """What a pair by that ranking method must reach."""
    return FORMER_BARS.get(method, BAR)


@dataclass(frozen=True, slots=True)
class RankedPair:
    """Of two answers the better and the worse. `margin` is the difference of their strengths (log-odds), `probability`
    how often the chosen one would win a ballot, as far as the ballots can tell: the fewer, the nearer to one half.
    `ballots` are those on just these two; where they were never compared, those on either."""

    chosen: UUID
    rejected: UUID
    margin: float
    probability: float
    ballots: tuple[UUID, ...]


def ranked_pairs(ranking: Ranking[UUID], ballots: Sequence[Ballot]) -> list[RankedPair]:
    """Every pair of a task's answers that the method's bar lets pass, surest first: the best against the worst, and
    further ones by their margin. Ties make no pair, and ballots that nobody could read say nothing.

    A ballot bears on two answers when it names one of them, and comparisons lead from one to the other. It need not be
    on just these two: nobody judges their own, so that in a team of three each pair is before one judge alone.
    """
    bar = bar_of(ranking.method)
    readable = [ballot for ballot in ballots if ballot.outcome is not Outcome.UNPARSEABLE]
    groups = _connected(readable)
    pairs = []
    for one, other in combinations(sorted(ranking.strengths), 2):
        chosen, rejected = (one, other) if ranking.strengths[one] >= ranking.strengths[other] else (other, one)
        probability = ranking.probability(chosen, rejected)
        bearing = [b for b in readable if {one, other} & {b.first, b.second} and {one, other} <= groups[b.first]]
        direct = [b for b in bearing if {b.first, b.second} == {one, other}]
        judged = len({b.judge for b in bearing}) >= bar.judges and (direct or not bar.compared)
        if judged and probability >= bar.probability:
            margin = ranking.margin(chosen, rejected).value
            pairs.append(RankedPair(chosen, rejected, margin, probability, tuple(b.id for b in direct or bearing)))
    return sorted(pairs, key=lambda pair: (-pair.probability, -pair.margin))


def support(pair: RankedPair, pairs: Iterable[RankedPair], ballots: Iterable[Ballot]) -> Support:
    """What the pair rests on, among all `pairs` of the task. A judge that contradicts itself in the two orders is for
    neither answer."""
    answers = {pair.chosen, pair.rejected}
    leanings: Counter[str] = Counter()
    for ballot in ballots:
        if {ballot.first, ballot.second} == answers and ballot.outcome is not Outcome.UNPARSEABLE:
            chosen_first = 1 if ballot.first == pair.chosen else -1
            leanings[ballot.judge] += {Outcome.FIRST: chosen_first, Outcome.SECOND: -chosen_first}.get(
                ballot.outcome, 0
            )
    found = list(leanings.values())
    touching = sum(1 for other in pairs if len(answers & {other.chosen, other.rejected}) == 1)
    return Support(sum(n > 0 for n in found), sum(n < 0 for n in found), found.count(0), touching)


def _connected(ballots: Iterable[Ballot]) -> dict[UUID, set[UUID]]:
    """Of each answer, all to which comparisons lead from it."""
    groups: dict[UUID, set[UUID]] = {}
    for ballot in ballots:
        joined = groups.get(ballot.first, {ballot.first}) | groups.get(ballot.second, {ballot.second})
        groups |= dict.fromkeys(joined, joined)
    return groups
