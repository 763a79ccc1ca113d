"""Where datasets are written and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.dataset_drafts import Page
from domain.dataset_recipe import TRAIN, Filter, Recipe
from domain.dataset_tally import Traits
from domain.model_call import Message
from domain.sameness import Rival

Turn = Callable[[], AbstractContextManager[None]]
"""To be had for as long as something is done that not everybody may do at once."""


class Drafter(Protocol):
    """Drafts the lines of datasets."""

    def pages(self, filter: Filter, recipe: Recipe, position: int) -> AbstractContextManager[Iterator[Page]]:
        """Of all preferences as of that position, in the order of their proposals and not all in memory; to be had for
        as long as the context lasts. Blocks."""


class Rivals(Protocol):
    """Which rows of a dataset that is being made are of the same choice. Kept outside of memory."""

    def add(self, choice: bytes, rival: Rival, traits: Traits) -> None:
        """A row more. Rows come in the order of their numbers."""

    def groups(self) -> Iterator[Sequence[tuple[Rival, Traits]]]:
        """The rows of each choice that has more than one, in order."""


class StagedDataset(Protocol):
    """The files of a dataset while they are written: nobody sees them yet."""

    def add(self, part: str, line: bytes) -> None:
        """A line more in that part's file."""

    def leave_out(self, part: str, gone: Sequence[int]) -> None:
        """Takes the lines out of that part's file for which `gone`, which has as many places, has a 1."""

    def digest(self, part: str) -> tuple[str, int]:
        """SHA-256 (hex) and size in bytes of what that part's file holds by now."""

    def publish(self) -> None:
        """They are whole: puts each in its place."""


class DatasetFiles(Protocol):
    """Where datasets are written: a file of JSON Lines for each part."""

    def path(self, id: UUID, part: str = TRAIN) -> Path:
        """Where that part of the dataset lies, or would."""

    def holds(self, id: UUID, sha256: str, part: str = TRAIN) -> bool:
        """Whether it lies there, whole, with that hash (hex)."""

    def staging(self, id: UUID, parts: Sequence[str]) -> AbstractContextManager[StagedDataset]:
        """To write those parts in; what is not published by its end is gone."""

    def rivals(self) -> AbstractContextManager[Rivals]:
        """None yet; gone at its end."""

    def keep_manifest(self, id: UUID, content: bytes) -> Path:
        """Where the manifest lies, with that content."""


@dataclass(frozen=True, slots=True)
class HeldPair:
    """A pair of a dataset, as messages, and what it weighs in a training."""

    preference_id: UUID
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    weight: float = 1.0


class DatasetPairs(Protocol):
    """What is in datasets."""

    @property
    def trained_part(self) -> str:
        """The part that is trained on."""

    def pairs(self, dataset_id: UUID, part: str) -> Iterator[HeldPair]:
        """That part's pairs, in order and not all in memory. Blocks. Raises NotFound for a dataset or part that is not
        there."""


class TokenCounter(Protocol):
    """Counts tokens as a model's vocabulary has them."""

    @property
    def vocabulary(self) -> str:
        """Its name and the start of its hash."""

    def count(self, texts: Sequence[str]) -> int:
        """Of a conversation's messages, with what stands around each."""


class DatasetExporter(Protocol):
    """Writes datasets for other tools."""

    def export(
        self, parts: Mapping[str, Path], facts: Mapping[str, Any], format: str, columns: str, output: Path
    ) -> None:
        """Writes `output`: as `jsonl` or `parquet` one file, in which the parts follow each other, or as `folder` a zip
        with a card that says the facts. `parts` are a dataset's JSON Lines, by the name of the split; `columns` is
        `all`, or `trl` for TRL's alone. Blocks."""
