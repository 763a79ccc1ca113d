"""What came out of a dataset's building: its files, what they hold, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

UNSETTLED = "unsettled"
"""The verdict on a pair on which nobody has spoken."""


@dataclass(frozen=True, slots=True)
class PartFile:
    """The JSON Lines of one part: how many pairs, how many of them settled by an annotator, SHA-256 (hex) and bytes."""

    part: str
    pairs: int
    annotated: int
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are. The percentiles are of the nearest rank: lengths that some text has."""

    least: int
    median: int
    p90: int
    p99: int
    most: int


@dataclass(frozen=True, slots=True)
class TokenLengths:
    """Tokens of a pair, of the prompt with the longer answer, counted in a sample of `pairs` by a vocabulary: its name
    and the start of its hash. `over` says how many of them are cut off at such a `max_length`."""

    vocabulary: str
    pairs: int
    lengths: Lengths
    over: dict[str, int]


@dataclass(frozen=True, slots=True)
class Contents:
    """`code` is the version of Caravan that built it first. `verdicts` and `methods` count the pairs that are in, and
    `dropped` those proposed that are not, by reason. `contradictions` counts the choices that were found both ways,
    `overlapping` the pairs that overlap with a holdout, of which `overlaps` names some. `characters` are of `prompt`,
    `chosen` and `rejected`; `tokens` is None where no vocabulary was at hand."""

    code: str
    files: tuple[PartFile, ...]
    verdicts: dict[str, int]
    methods: dict[str, int]
    dropped: dict[str, int]
    contradictions: int
    overlapping: int
    overlaps: tuple[UUID, ...]
    characters: dict[str, Lengths]
    tokens: TokenLengths | None


def lengths(counts: Counter[int]) -> Lengths | None:
    """Of so many texts of each length; None where there is none."""
    if not counts.total():
        return None
    ordered = sorted(+counts)
    up_to = list(accumulate(counts[length] for length in ordered))

    def rank(percent: int) -> int:
        needed = -(-up_to[-1] * percent // 100)
        return next(length for length, total in zip(ordered, up_to, strict=True) if total >= needed)

    return Lengths(ordered[0], rank(50), rank(90), rank(99), ordered[-1])


def counted(counts: Mapping[str, int]) -> dict[str, int]:
    """Without zeros and in alphabetical order, so that equal counts are equal bytes."""
    return {name: counts[name] for name in sorted(counts) if counts[name]}
