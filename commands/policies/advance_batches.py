"""Whenever a run ended, or was taken up again, its batch takes note, and asks for the next runs that it has room for;
whenever a batch was stopped, so are its runs.

It holds nothing and nobody waits in it: how a batch stands is in the batch. Told twice, it does nothing the second
time.
"""

from __future__ import annotations

import asyncio

from loguru import logger

from commands.batches import NoteRun
from commands.policies.runner import Policy
from commands.workflows import StopWorkflow
from domain.batch import Batch
from domain.errors import AlreadyDone
from domain.events import Actor, Recorded, topic_of
from domain.ports.events import Execute
from domain.ports.jobs import BatchRuns
from domain.workflow import Workflow

FOLLOWED = (
    Workflow.Completed,
    Workflow.Failed,
    Workflow.TimedOut,
    Workflow.Exhausted,
    Workflow.Stopped,
    Workflow.Retried,
    Batch.Stopped,
)


class AdvanceBatches:
    """In the name of `actor`."""

    def __init__(self, batches: BatchRuns, execute: Execute, actor: Actor) -> None:
        self._batches = batches
        self._execute = execute
        self._actor = actor

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("advance_batches", tuple(map(topic_of, FOLLOWED)), self.handle)

    async def handle(self, recorded: Recorded) -> None:
        """Lets the batch that the event is about go on, or ends its runs."""
        event = recorded.event
        if isinstance(event, Batch.Stopped):
            await asyncio.to_thread(self._stop_all, event, recorded)
        else:
            await asyncio.to_thread(self._note, recorded)

    def _note(self, recorded: Recorded) -> None:
        run = recorded.event.originator_id
        if batch := self._batches.batch_of(run):
            self._execute(NoteRun(batch, run), recorded.followed_by(self._actor))

    def _stop_all(self, stopped: Batch.Stopped, recorded: Recorded) -> None:
        for run in stopped.runs:
            try:
                self._execute(StopWorkflow(run, stopped.reason), recorded.followed_by(self._actor))
            except AlreadyDone as over:
                logger.debug("run {} of batch {} needs no stop: {}", run, stopped.originator_id, over)
