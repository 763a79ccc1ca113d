"""A training run in the hands of one trainer, for as long as nobody ends it or takes it over."""

from __future__ import annotations

import time
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.patience import Patience
from commands.training import CompleteTraining, FailTraining, RecordProgress
from domain.errors import AlreadyDone, LeaseLost
from domain.events import Actor, Recorded, topic_of
from domain.ports.events import EventLog, Execute
from domain.text import excerpt
from domain.training import TrainedAdapter, TrainingCancelled, TrainingRun
from domain.training_progress import Progress

LOOK_SECONDS = 1.0
HOLD_ENDS = (topic_of(TrainingRun.Cancelled), topic_of(TrainingRun.Started))
"""What ends a hold when it comes from somebody else."""


class HeldTraining:
    """What a trainer records in the epoch that `started` began. Each command has an id that follows from what it says,
    so it can be repeated through an outage of the store. What records something raises StoreUnavailable."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        actor: Actor,
        run: UUID,
        epoch: int,
        started: Recorded,
        patiently: Patience,
    ) -> None:
        self._log = log
        self._execute = execute
        self._actor = actor
        self._run = run
        self._epoch = epoch
        self._started = started
        self._patiently = patiently
        self._seen = started.position
        self._look_at = 0.0
        self._lost = False

    def progress(self, progress: Progress) -> None:
        """Raises TrainingCancelled once the hold is lost."""
        try:
            self._record(RecordProgress(self._run, self._epoch, progress), f"progress/{progress.step}")
        except (LeaseLost, AlreadyDone) as lost:
            raise TrainingCancelled(str(lost)) from lost

    def complete(self, adapter: TrainedAdapter) -> None:
        """The adapter is written. Where the hold was lost at the last moment, nothing is recorded."""
        self._record_last(CompleteTraining(self._run, self._epoch, adapter), "complete")

    def fail(self, reason: str) -> None:
        """The training cannot go on. Where the hold was lost meanwhile, nothing is recorded."""
        self._record_last(FailTraining(self._run, self._epoch, excerpt(reason)), "fail")

    def lost(self) -> bool:
        """Whether somebody cancelled the run or took it over. Cheap: reads what is new in the log once a second."""
        if not self._lost and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            try:
                head = self._log.head()
                news = self._log.read(self._seen, head, HOLD_ENDS)
                self._lost = any(recorded.event.originator_id == self._run for recorded in news)
                self._seen = head
            except Exception as error:
                logger.warning("cannot see whether training run {} was cancelled: {}; looking again", self._run, error)
        return self._lost

    def _record_last(self, command: object, name: str) -> None:
        try:
            self._record(command, name)
        except (LeaseLost, AlreadyDone) as lost:
            logger.warning("training run {} did not record {!r}: {}", self._run, name, lost)

    def _record(self, command: object, name: str) -> None:
        envelope = self._started.followed_by(self._actor, uuid5(self._run, f"{self._epoch}/{name}"))
        self._patiently(lambda: self._execute(command, envelope))
