"""A dataset: the preference pairs as they stood at a position. The same position and recipe give the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.dataset_contents import Contents, PartFile
from domain.dataset_recipe import AS_BEFORE, TRAIN, USUAL, Filter, Recipe
from domain.errors import AlreadyDone, Invalid


class Dataset(BaseAggregate[UUID]):
    TOPIC = "dataset"

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`position`: the last event that the dataset may know of."""

        TOPIC = "dataset.requested"
        class_version = 3
        originator_topic: str
        position: int
        filter: Filter
        recipe: Recipe

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """Rows were written as `pairs/1`, all of them into one file, repeats too."""
            takes_all: dict[str, Any] = {
                **{name: [] for name in ("methods", "chosen_agents", "rejected_agents", "annotators", "verdicts")},
                "since": None,
                "until": None,
            }
            recipe = {
                "builder": "pairs/1",
                "duplicates": "keep",
                "contradictions": "keep",
                "parts": [],
                "salt": "",
                "holdouts": [],
            }
            return data | {"filter": data["filter"] | takes_all, "recipe": recipe}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            """It named its builder, which was never the one that leaves out what people are still to settle."""
            return dict(data)

    class Built(Event):
        """`pairs`, how many of them were `annotated`, `sha256` and `size` (bytes) are those of the file that is trained
        on. `manifest_sha256` is that of the manifest. It and `contents` are None where neither was made yet."""

        TOPIC = "dataset.built"
        class_version = 2
        pairs: int
        annotated: int
        sha256: str
        size: int
        contents: Contents | None
        manifest_sha256: str | None

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"contents": None, "manifest_sha256": None}

        @property
        def files(self) -> tuple[PartFile, ...]:
            """All of them, the one that is trained on first."""
            if self.contents:
                return self.contents.files
            return (PartFile(TRAIN, self.pairs, self.annotated, self.sha256, self.size),)

        def apply(self, aggregate: Dataset) -> None:
            aggregate.pairs = self.pairs
            aggregate.sha256 = self.sha256
            aggregate.files = self.files

    def __init__(self, position: int, filter: Filter, recipe: Recipe = AS_BEFORE) -> None:
        self.position = position
        self.filter = filter
        self.recipe = recipe
        self.pairs = 0
        self.sha256: str | None = None
        self.files: tuple[PartFile, ...] = ()

    @classmethod
    def request(cls, id: UUID, position: int, head: int, filter: Filter, at: datetime, recipe: Recipe = USUAL) -> Self:
        """Raises Invalid for a position beyond the log's `head`, and for a filter or recipe that makes no sense."""
        if not 0 <= position <= head:
            raise Invalid(f"position {position} is not in the log, which ends at {head}")
        filter.must_make_sense()
        recipe.must_make_sense()
        return cls._create(cls.Requested, id=id, position=position, filter=filter, recipe=recipe, timestamp=at)

    def built(self, contents: Contents, at: datetime) -> None:
        """The files are written. Building them again must give the same bytes; raises AlreadyDone if it did not."""
        if self.sha256 is None:
            (train, *_) = contents.files
            self.trigger_event(
                self.Built,
                pairs=train.pairs,
                annotated=train.annotated,
                sha256=train.sha256,
                size=train.size,
                contents=contents,
                manifest_sha256=sha256(manifest(self.position, self.filter, self.recipe, contents)).hexdigest(),
                timestamp=at,
            )
        elif differing := [new.part for new, was in zip(contents.files, self.files, strict=True) if new != was]:
            raise AlreadyDone(f"the dataset was built with other bytes in {', '.join(differing)}")


def manifest(position: int, filter: Filter, recipe: Recipe, contents: Contents) -> bytes:
    """All that is known of a dataset, as canonical JSON: what it was made from, how, and what came out. Of holdouts it
    has the hash."""
    told = {
        "position": position,
        "filter": asdict(filter),
        "recipe": recipe.described(),
        "contents": asdict(contents),
    }
    text = json.dumps(told, default=_plain, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
