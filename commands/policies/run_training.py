"""Whenever a training run was requested, or its trainer is gone, train.

One run at a time in a trainer's process; the others wait. A run that was taken over goes on from the trainer's
checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.held_training import HeldTraining
from commands.policies.in_logs import in_logs
from commands.policies.intake import Intake
from commands.policies.patience import Patience, StoreUnavailable
from commands.training import StartTraining
from domain.errors import AlreadyDone, VersionConflict
from domain.events import Actor, Recorded
from domain.ports.events import EventLog, Execute, Spans
from domain.ports.jobs import Workers
from domain.ports.training import Trainer
from domain.training import TrainingCancelled, TrainingFailed, TrainingJob, TrainingRun

ENDINGS = (TrainingRun.Completed, TrainingRun.Failed, TrainingRun.Cancelled)
PUT_BACK_SECONDS = 1.0


class RunTraining:
    """Trains what it is offered. `dataset_file` finds (or rebuilds) a dataset's file, e.g. `BuildDataset.ensure`, and
    `dataset_again` builds it from the events whether it is there or not; `worker` is the name under which this process
    gives its signs of life."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        trainer: Trainer,
        dataset_file: Callable[[UUID], Path],
        dataset_again: Callable[[UUID], Path],
        workers: Workers,
        worker: str,
        actor: Actor,
        patiently: Patience,
        span: Spans = in_logs,
    ) -> None:
        self._log = log
        self._execute = execute
        self._trainer = trainer
        self._dataset_file = dataset_file
        self._dataset_again = dataset_again
        self._workers = workers
        self._worker = worker
        self._actor = actor
        self._patiently = patiently
        self._span = span
        self._intake = Intake(PUT_BACK_SECONDS)

    def offer(self, run: UUID) -> None:
        """News or the sweep found that run. To be called on the event loop; a run that waits already is ignored."""
        self._intake.offer(run)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. The training under way then keeps its checkpoint, for whoever takes it over."""
        async for run in self._intake.offered(stop):
            await self._intake.handled(run, lambda run: asyncio.to_thread(self.train, run, stop.is_set))

    def train(self, run: UUID, stopping: Callable[[], bool]) -> None:
        """Trains to the end, unless the run is over or another living trainer has it. Blocks. What the trainer keeps of
        a run that is over is thrown away.

        Raises StoreUnavailable, and what keeps it from being taken.
        """
        match self._patiently(lambda: self._take(run)):
            case [
                Recorded(event=TrainingRun.Requested() as requested),
                *_,
                Recorded(event=TrainingRun.Started(epoch=epoch, adapter_name=adapter_name)) as started,
            ]:
                held = HeldTraining(self._log, self._execute, self._actor, run, epoch, started, self._patiently)
                with self._span("run-training", started, run=str(run), epoch=epoch, worker=self._worker):
                    self._train(requested, adapter_name, held, stopping)
        if self._patiently(lambda: _is_over(self._log.history(run))):
            self._trainer.forget(run)

    def _train(
        self,
        requested: TrainingRun.Requested,
        adapter_name: str,
        held: HeldTraining,
        stopping: Callable[[], bool],
    ) -> None:
        run = requested.originator_id
        try:
            find = self._dataset_again if requested.reproduces else self._dataset_file
            file = self._patiently(lambda: find(requested.dataset_id))
            job = TrainingJob(
                run_id=run,
                adapter_name=adapter_name,
                dataset_id=requested.dataset_id,
                dataset_file=str(file),
                dataset_sha256=requested.dataset_sha256,
                position=requested.position,
                base_model=requested.base_model,
                config=requested.config,
                start_from=requested.start_from,
                base_sha256=requested.reproduces.base_sha256 if requested.reproduces else None,
            )
            adapter = self._trainer.train(job, held.progress, lambda: stopping() or held.lost())
        except StoreUnavailable:
            raise
        except TrainingCancelled as ended:
            logger.info("training run {} ends here: {}", run, ended)
        except TrainingFailed as failure:
            held.fail(str(failure))
        except Exception as error:
            logger.exception("training run {} failed", run)
            held.fail(f"{type(error).__name__}: {error}")
        else:
            held.complete(adapter)

    def _take(self, run: UUID) -> list[Recorded]:
        """The run's events up to our taking it; none where it is not ours to take."""
        history = self._log.history(run)
        starts = [recorded.event for recorded in history if isinstance(recorded.event, TrainingRun.Started)]
        if not history or _is_over(history):
            return []
        if starts and starts[-1].worker != self._worker and self._workers.alive(starts[-1].worker):
            return []
        version = len(history)
        envelope = history[0].followed_by(self._actor, uuid5(run, f"start/{version}/{self._worker}"))
        try:
            written = self._execute(StartTraining(run, self._worker, expected_version=version), envelope)
        except (VersionConflict, AlreadyDone) as faster:
            logger.info("training run {} is not ours: {}", run, faster)
            return []
        return list(self._log.history(run)[: written.version])


def _is_over(history: Sequence[Recorded]) -> bool:
    return any(isinstance(recorded.event, ENDINGS) for recorded in history)
