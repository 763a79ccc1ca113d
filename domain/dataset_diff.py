"""What differs between two datasets, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

ANSWERS = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class DatasetParts:
    """A dataset that is built, and the names of all its parts."""

    id: UUID
    parts: tuple[str, ...]


class Change(StrEnum):
    """What became of a pair from one dataset to the other."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class PairChange:
    """`part` is where the pair is, `was_part` where it was; None: nowhere. `columns` are those that differ, of the
    columns that both have, and `part`; `flipped` says that the two answers changed places."""

    preference_id: UUID
    change: Change
    was_part: str | None
    part: str | None
    columns: tuple[str, ...] = ()
    flipped: bool = False


def changed(
    preference_id: UUID, was_part: str, part: str, was: Mapping[str, Any], now: Mapping[str, Any]
) -> PairChange:
    """From a row in the one to that in the other."""
    columns = [name for name in sorted(was.keys() & now.keys()) if was[name] != now[name]]
    flipped = was != now and [was[name] for name in ANSWERS] == [now[name] for name in reversed(ANSWERS)]
    if was_part != part:
        columns.append("part")
    return PairChange(preference_id, Change.CHANGED, was_part, part, tuple(columns), flipped)
