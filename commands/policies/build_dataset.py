"""Whenever a dataset was requested, write its files; whenever a file was lost, write the same bytes again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from commands.datasets import DatasetBuilt
from commands.policies.dataset_making import DatasetMaking
from commands.policies.runner import Policy
from domain.dataset import Dataset, manifest
from domain.dataset_contents import Contents, PartFile
from domain.dataset_recipe import TRAIN
from domain.errors import DomainError, NotFound
from domain.events import Actor, Recorded, topic_of
from domain.ports.datasets import DatasetFiles, Drafter, TokenCounter, Turn
from domain.ports.events import EventLog, Execute


class DatasetChanged(DomainError):
    """Replaying the events does not give the bytes that the dataset was built with. HTTP 409.

    Either the history was tampered with, or the rules that make rows of events were changed.
    """

    status = 409

    def __init__(self, id: UUID, was: str, now: str) -> None:
        super().__init__(
            f"dataset {id} was built with SHA-256 {was}, but its events now give {now}. Do not train on it: "
            "find out what changed in the events or in domain/dataset_rows.py, or request a new dataset"
        )


@dataclass(frozen=True, slots=True)
class BuildDataset:
    """Writes datasets as of their position. Repeating it changes nothing. `tokens` counts as a training will, where the
    vocabulary is at hand; `code` is the version of Caravan. `turn` is had for as long as files are made: it may wait,
    or refuse by what it raises."""

    log: EventLog
    drafter: Drafter
    files: DatasetFiles
    execute: Execute
    actor: Actor
    tokens: TokenCounter | None = None
    code: str = ""
    turn: Turn = nullcontext

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("build_dataset", (topic_of(Dataset.Requested),), self.handle)

    async def handle(self, requested: Recorded) -> None:
        """Builds the dataset that this event requests. Raises DatasetChanged."""
        await asyncio.to_thread(self.ensure, requested.event.originator_id)

    def ensure(self, dataset_id: UUID, part: str = TRAIN) -> Path:
        """The file of that part, by default the one that is trained on; built or rebuilt where it is not there. Blocks.

        Raises NotFound, also for a part that there is not, and DatasetChanged when the same bytes cannot be had any
        more.
        """
        history = self.log.history(dataset_id)
        if not history or not isinstance(requested := history[0].event, Dataset.Requested):
            raise NotFound("dataset", dataset_id)
        if part not in requested.recipe.part_names:
            raise NotFound(f"part {part!r} of dataset", dataset_id)
        built = _built(history)
        if built is None or not self._holds(dataset_id, part, built.files):
            self._make(history[0], requested, built)
        return self.files.path(dataset_id, part)

    def again(self, dataset_id: UUID) -> Path:
        """The file that is trained on, built from the events whether it is there or not. Blocks. Raises NotFound, and
        DatasetChanged where the events do not give the same bytes any more."""
        history = self.log.history(dataset_id)
        match history[:1]:
            case [Recorded(event=Dataset.Requested() as requested)]:
                self._make(history[0], requested, _built(history))
                return self.files.path(dataset_id)
        raise NotFound("dataset", dataset_id)

    def manifest(self, dataset_id: UUID) -> Path:
        """The file that says what is in the dataset. Raises as `ensure`, and NotFound where it was built before there
        were manifests."""
        self.ensure(dataset_id)
        history = self.log.history(dataset_id)
        match history[0].event, _built(history):
            case Dataset.Requested() as requested, Dataset.Built(contents=Contents() as contents):
                return self._keep_manifest(requested, contents)
        raise NotFound("manifest of dataset", dataset_id)

    def _holds(self, dataset_id: UUID, part: str, files: Sequence[PartFile]) -> bool:
        return any(self.files.holds(dataset_id, file.sha256, part) for file in files if file.part == part)

    def _make(self, first: Recorded, requested: Dataset.Requested, built: Dataset.Built | None) -> None:
        id, recipe = requested.originator_id, requested.recipe
        making = DatasetMaking(recipe, None if built else self.tokens)
        with (
            self.turn(),
            self.files.rivals() as rivals,
            self.files.staging(id, recipe.part_names) as staged,
            self.drafter.pages(requested.filter, recipe, requested.position) as pages,
        ):
            contents = making.make(pages, rivals, staged, self.code)
            for was, now in zip(built.files if built else (), contents.files, strict=False):
                if was.sha256 != now.sha256:
                    raise DatasetChanged(id, was.sha256, now.sha256)
            staged.publish()
        if built is None:
            self.execute(DatasetBuilt(id, contents), first.followed_by(self.actor))
        kept = built.contents if built else contents
        if kept:
            self._keep_manifest(requested, kept)

    def _keep_manifest(self, requested: Dataset.Requested, contents: Contents) -> Path:
        content = manifest(requested.position, requested.filter, requested.recipe, contents)
        return self.files.keep_manifest(requested.originator_id, content)


def _built(history: Sequence[Recorded]) -> Dataset.Built | None:
    return next((found.event for found in history if isinstance(found.event, Dataset.Built)), None)
