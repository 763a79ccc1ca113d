"""Whenever a dataset was requested, write its file; whenever a file was lost, write the same bytes again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from commands.datasets import DatasetBuilt
from commands.policies.runner import Policy
from domain.catalogue import topics_of
from domain.dataset import Dataset, Row, json_lines, rows
from domain.errors import DomainError, NotFound
from domain.events import Actor, Recorded, topic_of
from domain.ports import DatasetFiles, EventLog, Execute
from domain.preference import Preference


class DatasetChanged(DomainError):
    """Replaying the events does not give the bytes that the dataset was built with. HTTP 409.

    Either the history was tampered with, or the rules that make rows of events were changed.
    """

    status = 409

    def __init__(self, id: UUID, was: str, now: str) -> None:
        super().__init__(
            f"dataset {id} was built with SHA-256 {was}, but its events now give {now}. Do not train on it: "
            "find out what changed in the events or in domain/dataset.py, or request a new dataset"
        )


class BuildDataset:
    """Writes datasets as of their position. Repeating it changes nothing."""

    def __init__(self, log: EventLog, files: DatasetFiles, execute: Execute, actor: Actor) -> None:
        self._log = log
        self._files = files
        self._execute = execute
        self._actor = actor

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("build_dataset", (topic_of(Dataset.Requested),), self.handle)

    async def handle(self, requested: Recorded) -> None:
        """Builds the dataset that this event requests. Raises DatasetChanged."""
        await asyncio.to_thread(self.ensure, requested.event.originator_id)

    def ensure(self, dataset_id: UUID) -> Path:
        """The dataset's file, built or rebuilt where it is not there. Blocks.

        Raises NotFound, and DatasetChanged when the same bytes cannot be had any more.
        """
        history = self._log.history(dataset_id)
        if not history or not isinstance(requested := history[0].event, Dataset.Requested):
            raise NotFound("dataset", dataset_id)
        known = next((found.event.sha256 for found in history if isinstance(found.event, Dataset.Built)), None)
        if known is None or not self._files.holds(dataset_id, known):
            events = self._log.read(upto=requested.position, topics=topics_of(Preference))
            found = rows(events, requested.filter)
            if known and (now := _sha256(found)) != known:
                raise DatasetChanged(dataset_id, known, now)
            _, digest, size = self._files.write(dataset_id, json_lines(found))
            if known is None:
                annotated = sum(row.verdict is not None for row in found)
                built = DatasetBuilt(dataset_id, len(found), annotated, digest, size)
                self._execute(built, history[0].followed_by(self._actor))
        return self._files.path(dataset_id)


def _sha256(rows: Iterable[Row]) -> str:
    digest = sha256()
    for line in json_lines(rows):
        digest.update(line)
    return digest.hexdigest()
