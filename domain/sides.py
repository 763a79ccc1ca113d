"""Which of a pair's two answers a person sees at the left, until when they see nothing else of them, and what they then
mean by left and right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self, TypeVar

from domain.opinion import IN_QUEUE, Standing
from domain.pair import Verdict

T = TypeVar("T")
LEFT, RIGHT, NEITHER = "left", "right", "neither"
ASKED = IN_QUEUE
"""The states of a pair in which people are asked about it."""
OPEN = (*ASKED, Standing.IMPORTED)
"""The states of a pair on which nothing is decided here, so that a first word on it should be a person's own."""


def may_speak_first(person: str, state: str, spoken_by: Collection[str]) -> bool:
    """Whether a word of that person on a pair would be their first, so that nothing that speaks for an answer may be
    shown to them before it."""
    return state in OPEN and person not in spoken_by


@dataclass(frozen=True, slots=True)
class Sides:
    """`turned`: the answer that was proposed as the better one is at the right."""

    turned: bool

    @classmethod
    def drawn(cls, person: str, pair: str) -> Self:
        """By lot, for each person and pair anew and then for good: whoever knows nothing else of the answers learns
        nothing from their places, and finds them where they were, by whichever door they come. People see them
        differently, so that a liking for one side evens out."""
        return cls(bool(sha256(f"{person}/{pair}".encode()).digest()[0] & 1))

    def in_order(self, proposed_better: T, proposed_worse: T) -> tuple[T, T]:
        """The left one, and the right one."""
        return (proposed_worse, proposed_better) if self.turned else (proposed_better, proposed_worse)

    def verdict(self, choice: str) -> Verdict:
        """What the choice of that side says of the pair as it was proposed."""
        better, worse = self.in_order(Verdict.ACCEPTED, Verdict.FLIPPED)
        return {LEFT: better, RIGHT: worse, NEITHER: Verdict.REJECTED}[choice]

    def told(self, verdict: str) -> str:
        """What that verdict says of what the person sees; others, such as `edited`, speak for themselves."""
        sides = dict(zip(self.in_order("accepted", "flipped"), ("left is better", "right is better"), strict=True))
        return (sides | {"rejected": "neither"}).get(verdict, verdict)

    def level(self, level: int, criterion: Mapping[str, Any]) -> int:
        """A rating by that criterion of a rubric, as seen here, in that of the pair as it was proposed, and the other
        way round."""
        return len(criterion["levels"]) + 1 - level if self.turned and criterion["compares"] else level
