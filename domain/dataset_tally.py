"""Counting what is in a dataset while it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from domain.dataset_contents import UNSETTLED, Lengths, lengths
from domain.sameness import Dropped

TEXTS = ("prompt", "chosen", "rejected")


class Traits(NamedTuple):
    """What is counted of a row. `characters` are of the prompt, the chosen and the rejected answer."""

    part: str
    verdict: str
    method: str
    characters: tuple[int, int, int]


class Tally:
    """`pairs` and `annotated` are by part; `dropped` by reason."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.pairs = Counter[str]()
        self.annotated = Counter[str]()
        self.verdicts = Counter[str]()
        self.methods = Counter[str]()
        self.dropped = Counter[str]()
        self._characters = [Counter[int]() for _ in TEXTS]
        self._lines = Counter[str](dict.fromkeys(parts, 0))

    def add(self, traits: Traits) -> int:
        """A row more. Returns which line of its part it is, from 0 on."""
        self._count(traits, 1)
        number = self._lines[traits.part]
        self._lines[traits.part] = number + 1
        return number

    def drop(self, traits: Traits, reason: Dropped) -> None:
        """One of the rows after all does not stay."""
        self._count(traits, -1)
        self.dropped[reason] += 1

    def lines(self, part: str) -> int:
        """How many rows of that part there were, those that do not stay too."""
        return self._lines[part]

    def lengths_of_texts(self) -> dict[str, Lengths]:
        """In characters, by text; none where there is no row."""
        of_each = zip(TEXTS, map(lengths, self._characters), strict=True)
        return {text: found for text, found in of_each if found}

    def _count(self, traits: Traits, by: int) -> None:
        self.pairs[traits.part] += by
        self.verdicts[traits.verdict] += by
        self.methods[traits.method] += by
        if traits.verdict != UNSETTLED:
            self.annotated[traits.part] += by
        for counts, length in zip(self._characters, traits.characters, strict=True):
            counts[length] += by
