"""The task queue, its workers, and what is due when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.job import Priority, ResultFile


class Calendar(Protocol):
    """When something periodic is due, by a cron expression, in UTC."""

    def check(self, cron: str) -> None:
        """Raises Invalid for what is no cron expression."""

    def last(self, cron: str, now: datetime) -> datetime | None:
        """The last moment up to now, itself included, at which it was due."""

    def next(self, cron: str, now: datetime) -> datetime | None:
        """The first moment after now at which it is due; None where there is none in many years."""


class Workers(Protocol):
    """Which workers are there."""

    def alive(self, worker: str) -> bool:
        """Whether that worker gave a sign of life lately."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that is due. `epoch` grows with each attempt, and tells its places in the work queue apart."""

    job: UUID
    queue: str
    priority: Priority
    epoch: int


@dataclass(frozen=True, slots=True)
class LostJob:
    """An attempt that nobody gets on with, and why."""

    job: UUID
    epoch: int
    reason: str


class JobsAtHand(Protocol):
    """How the jobs stand, as new as the log."""

    def due(self, limit: int, queue: str | None = None) -> Sequence[WaitingJob]:
        """Those that wait and may start now, in the order in which they are to be served."""

    def lost(self) -> Sequence[LostJob]:
        """Those whose worker is gone, or says nothing for too long."""


class QueueAway(Exception):
    """The work queue cannot be reached now."""


class Handed(Protocol):
    """A job from the work queue, in one worker's hands."""

    @property
    def job(self) -> UUID: ...

    async def done(self) -> None:
        """It is taken, or not to be done: the queue may forget it."""

    async def later(self, seconds: float) -> None:
        """It is not taken, and comes again, to whoever asks."""


class JobQueue(Protocol):
    """Hands the ids of waiting jobs to workers, each to one of them. It may lose and repeat them."""

    async def held(self) -> int:
        """How many it holds. Raises QueueAway."""

    async def offer(self, jobs: Sequence[WaitingJob]) -> None:
        """Puts them in. Raises QueueAway."""

    async def take(self, queue: str) -> Handed | None:
        """The next of that queue, by priority; None where nothing comes for a moment. Raises QueueAway."""


class ResultFiles(Protocol):
    """Where results of jobs are kept that are too large for an event."""

    def keep(self, content: bytes) -> ResultFile:
        """Writes it whole or not at all; the same again changes nothing."""

    def read(self, file: ResultFile) -> bytes:
        """What was kept. Raises NotFound where it is lost, or is not what it was."""


class BatchRuns(Protocol):
    """Which runs are whose."""

    def batch_of(self, run: UUID) -> UUID | None:
        """The batch that the run belongs to, as new as the log; None where it is on its own."""


class WorkQueue(Protocol):
    """What the sweep looks for: work that nobody does."""

    def runs_without_worker(self) -> Sequence[UUID]:
        """Runs that are requested, or whose worker is gone."""

    def trainings_without_worker(self) -> Sequence[UUID]:
        """Training runs that are requested, or whose trainer is gone."""
