"""A job in the hands of one worker, for one attempt: what its handler sees of it, and what is recorded."""

from __future__ import annotations

import time
from threading import Event
from uuid import UUID, uuid5

from loguru import logger

from commands.jobs import FailJobAttempt, ProgressJob, ReleaseJob, SucceedJob
from commands.policies.patience import Patience
from domain.errors import AlreadyDone, LeaseLost
from domain.events import Actor, Recorded
from domain.job import Json, ResultFile
from domain.ports.events import Execute


class PermanentFailure(Exception):
    """Raised by a handler: another attempt would fail like this one. The job goes to the dead letters at once."""


class Attempt:
    """For the handler, on whatever thread it works. `job` is the same in each attempt, and so a key by which what a
    handler does outside can be done once; `number` counts from 1."""

    def __init__(self, job: UUID, number: int) -> None:
        self.job = job
        self.number = number
        self.text = ""
        self.heard_at = time.monotonic()
        self._called_off = Event()

    def heartbeat(self, text: str = "") -> None:
        """A sign of life, which starts the time-out over; the text, if any, is shown to those who wait. Cheap."""
        self.heard_at = time.monotonic()
        self.text = text or self.text

    @property
    def called_off(self) -> bool:
        """Whether to stop: the job was cancelled, timed out, or is somebody else's. Nobody waits for a result any more.
        What works in a thread must ask this often; a coroutine is cancelled."""
        return self._called_off.is_set()

    def call_off(self) -> None:
        """Tells the handler to stop."""
        self._called_off.set()


class HeldJob:
    """What a worker records in the epoch that `started` began. Each command has an id of its own, so that it can be
    repeated through an outage of the store; what comes too late changes nothing. `seen` is how far the log was looked
    through for its end. Blocks; raises StoreUnavailable."""

    def __init__(
        self, execute: Execute, actor: Actor, started: Recorded, epoch: int, attempt: Attempt, patiently: Patience
    ) -> None:
        self.attempt = attempt
        self.epoch = epoch
        self._execute = execute
        self._actor = actor
        self._started = started
        self._patiently = patiently
        self.seen = started.position
        self._told = 0

    def progress(self, text: str) -> None:
        """It is still being worked on."""
        self._told += 1
        self._record(ProgressJob(self.attempt.job, self.epoch, text), f"progress/{self._told}")

    def succeed(self, result: Json | ResultFile) -> None:
        """It is done. Raises Invalid or ValueError for a result that cannot be kept."""
        self._record(SucceedJob(self.attempt.job, self.epoch, result), "succeed")

    def fail(self, error: str, permanent: bool, chance: float) -> None:
        """The attempt failed."""
        self._record(FailJobAttempt(self.attempt.job, self.epoch, error, permanent, chance), "fail")

    def release(self) -> None:
        """It is given back."""
        self._record(ReleaseJob(self.attempt.job, self.epoch), "release")

    def _record(self, command: object, name: str) -> None:
        envelope = self._started.followed_by(self._actor, uuid5(self.attempt.job, f"{self.epoch}/{name}"))
        try:
            self._patiently(lambda: self._execute(command, envelope))
        except (LeaseLost, AlreadyDone) as lost:
            self.attempt.call_off()
            logger.warning("job {} did not record {!r}: {}", self.attempt.job, name, lost)
