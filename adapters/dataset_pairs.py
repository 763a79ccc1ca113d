"""What is in datasets, pair by pair, from their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from domain.dataset_recipe import TRAIN
from domain.model_call import Message
from domain.ports.datasets import HeldPair


class _Line(msgspec.Struct, frozen=True):
    """Of a line's columns, those of a pair."""

    preference_id: UUID
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class FilesOfPairs:
    """Fulfils domain.ports.datasets.DatasetPairs. `file_of` gives the file of a dataset's part, made again where it was
    lost."""

    file_of: Callable[[UUID, str], Path]
    trained_part: str = TRAIN

    def pairs(self, dataset_id: UUID, part: str) -> Iterator[HeldPair]:
        """That part's pairs, in order. Raises NotFound."""
        decoder = msgspec.json.Decoder(_Line)
        with self.file_of(dataset_id, part).open("rb") as lines:
            for line in lines:
                row = decoder.decode(line)
                yield HeldPair(row.preference_id, row.prompt, row.chosen, row.rejected, row.weight)
