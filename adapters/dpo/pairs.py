"""The preference pairs of one training: a dataset is read and checked, and the heaviest are taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from domain.weighting import heaviest, lot_of


class BadDataset(ValueError):
    """The file is not the dataset that the job names, or nothing can be learned from it."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat, as TRL's conversational columns hold it."""

    role: str
    content: str


Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class WeightedPair:
    """One row of a dataset; its other lineage columns play no part in training. `weight` lies in [0, 1]."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    preference_id: UUID
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0

    def columns(self) -> dict[str, Any]:
        """What is trained on: the id has only decided whether the pair is taken."""
        return {name: value for name, value in asdict(self).items() if name != "preference_id"}


def take_pairs(file: Path, sha256: str, limit: int) -> list[WeightedPair]:
    """Of the rows of a JSON Lines file those that a training takes, as domain.training has it; no others are kept in
    memory. Raises BadDataset, which names the first bad line, and OSError."""
    taken = heaviest(_read(file, sha256), attrgetter("weight"), lambda pair: lot_of(pair.preference_id), limit)
    if not taken:
        raise BadDataset("it has no pair with a weight above 0: there is nothing to learn")
    return taken


def _read(file: Path, sha256: str) -> Iterator[WeightedPair]:
    """Row by row. What is wrong with one is told at the end: of another file than the job's nobody wants to know it."""
    digest = hashlib.sha256()
    wrong: BadDataset | None = None
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            digest.update(line)
            if not wrong:
                try:
                    yield _read_pair(line.rstrip(), f"{file.name}, line {number}")
                except BadDataset as error:
                    wrong = error
    if (found := digest.hexdigest()) != sha256:
        raise BadDataset(f"{file.name} has sha256 {found}, but the job names {sha256}: build the dataset again")
    if wrong:
        raise wrong


def _read_pair(line: bytes, where: str) -> WeightedPair:
    try:
        pair = _PAIR.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(map(str, first["loc"]))
        raise BadDataset(f"{where}: {column + ': ' if column else ''}{first['msg']}") from error
    if not pair.chosen[-1].role == pair.rejected[-1].role == "assistant":
        raise BadDataset(f"{where}: chosen and rejected must end with the assistant's message")
    return pair


_PAIR = TypeAdapter(WeightedPair)
