"""What several people say of one pair, and what follows: it is settled, disputed, or waits for one more of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.pair import Pair, Verdict


class Standing(StrEnum):
    """Where a pair stands: people have yet to judge it; it was judged elsewhere and imported, and counts without a word
    from here; those who judged it disagree; it counts by the word of most of them; they find it unfit; or it was taken
    back."""

    WAITING = "waiting"
    IMPORTED = "imported"
    DISPUTED = "disputed"
    SETTLED = "settled"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


IN_QUEUE = (Standing.WAITING, Standing.DISPUTED)
"""What people are asked about."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Ratings by the criteria of a published rubric, or of the usual one, which has version 0. A rating is the level
    that was chosen, counted from 1; criteria may be left out."""

    rubric: int
    ratings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Opinion:
    """One person's word on a pair. `choice` is what it says of the pair as proposed: `accepted`, `flipped` or
    `rejected`. Where the verdict is `edited`, `words` is the pair as rewritten, and the choice is which of the two
    answers was rewritten to be the better one. `annotator` is None in histories of before it was told who spoke."""

    annotator: str | None
    verdict: Verdict
    choice: Verdict
    scores: Scores | None = None
    words: Pair | None = None


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the opinions come to. `verdict` and `choice` are those of the majority, None where there is none or too few
    have spoken; `by` is whose opinions are in force, the latest one's last, and `wanted` how many were asked for."""

    state: Standing
    verdict: Verdict | None
    choice: Verdict | None
    by: tuple[str | None, ...]
    wanted: int


NOBODY_SPOKE = Consensus(Standing.WAITING, None, None, (), 1)


def in_force(said: Sequence[Opinion]) -> list[Opinion]:
    """The latest opinion of each annotator, oldest first. One of nobody knows whom is replaced by whoever speaks next,
    as it was when it was given."""
    latest: dict[str | None, Opinion] = {}
    for opinion in said:
        for annotator in (None, opinion.annotator):
            latest.pop(annotator, None)
        latest[opinion.annotator] = opinion
    return list(latest.values())


def without_last_of(said: Sequence[Opinion], annotator: str) -> tuple[Opinion, ...]:
    """All but that annotator's latest; what they said before it is in force again."""
    at = max((n for n, opinion in enumerate(said) if opinion.annotator == annotator), default=len(said))
    return (*said[:at], *said[at + 1 :])


def majority(choices: Sequence[Verdict]) -> Verdict | None:
    """What more than half of them are; None where there is no such choice."""
    for choice, votes in Counter(choices).most_common(1):
        return choice if 2 * votes > len(choices) else None
    return None


def settle(proposed: Pair, said: Sequence[Opinion], wanted: int) -> tuple[Consensus, Pair]:
    """Where the pair stands, and as what.

    More than half of those who spoke must have chosen the same, and as many as are wanted must have spoken. Without
    such a majority among two or more it is disputed, however many are wanted: one more person is to decide. Of the
    majority the last edit gives the words. Nobody's place in the order decides anything else.
    """
    opinions = in_force(said)
    by = tuple(opinion.annotator for opinion in opinions)
    if not opinions:
        return Consensus(Standing.WAITING, None, None, by, wanted), proposed
    choice = majority([opinion.choice for opinion in opinions])
    if choice is None:
        return Consensus(Standing.DISPUTED, None, None, by, wanted), proposed
    if len(opinions) < wanted:
        return Consensus(Standing.WAITING, None, None, by, wanted), proposed
    words = [opinion.words for opinion in opinions if opinion.choice is choice and opinion.words]
    verdict = Verdict.EDITED if words else choice
    state = Standing.REJECTED if choice is Verdict.REJECTED else Standing.SETTLED
    return Consensus(state, verdict, choice, by, wanted), words[-1] if words else proposed.under(choice)
