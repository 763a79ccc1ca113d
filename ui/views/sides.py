"""Which of a pair's two answers a person sees at the left, and what they then mean by left and right."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Self, TypeVar

from ui.api import Json

T = TypeVar("T")
LEFT, RIGHT, NEITHER = "left", "right", "neither"


@dataclass(frozen=True, slots=True)
class Sides:
    """`turned`: the answer that was proposed as the better one is at the right."""

    turned: bool

    @classmethod
    def drawn(cls, person: str, pair: str) -> Self:
        """By lot, for each person and pair anew and then for good: whoever knows nothing else of the answers learns
        nothing from their places, and finds them where they were. People see them differently, so that a liking for one
        side evens out."""
        return cls(bool(sha256(f"{person}/{pair}".encode()).digest()[0] & 1))

    def in_order(self, proposed_better: T, proposed_worse: T) -> tuple[T, T]:
        """The left one, and the right one."""
        return (proposed_worse, proposed_better) if self.turned else (proposed_better, proposed_worse)

    def verdict(self, choice: str) -> str:
        """What the choice of that side says of the pair as it was proposed."""
        better, worse = self.in_order("accepted", "flipped")
        return {LEFT: better, RIGHT: worse, NEITHER: "rejected"}[choice]

    def words(self, verdict: str) -> str:
        """What that verdict says of what the person sees; others, such as `edited`, speak for themselves."""
        told = {self.verdict(LEFT): "left is better", self.verdict(RIGHT): "right is better", "rejected": "neither"}
        return told.get(verdict, verdict)

    def level(self, criterion: Json, level: int) -> int:
        """A rating as seen here in that of the pair as it was proposed, and the other way round."""
        return len(criterion["levels"]) + 1 - level if self.turned and criterion["compares"] else level
