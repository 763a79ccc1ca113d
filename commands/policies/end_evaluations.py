"""Whenever the job of an evaluation ended without a result, the evaluation failed, or was cancelled as its job was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from loguru import logger

from commands.evaluations import CancelEvaluation, FailEvaluation
from commands.job_kinds import EVALUATE
from commands.policies.runner import Policy
from domain.errors import AlreadyDone
from domain.events import Actor, Recorded, topic_of
from domain.job import Job
from domain.ports.events import EventLog, Execute


@dataclass(frozen=True, slots=True)
class EndEvaluations:
    """In the name of `actor`. Told twice, it does nothing the second time."""

    log: EventLog
    execute: Execute
    actor: Actor

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("end_evaluations", (topic_of(Job.DeadLettered), topic_of(Job.Cancelled)), self.handle)

    async def handle(self, ended: Recorded) -> None:
        """Ends the evaluation that the job was for."""
        await asyncio.to_thread(self._end, ended)

    def _end(self, ended: Recorded) -> None:
        match ended.event, self.log.history(ended.event.originator_id):
            case Job.Cancelled(), [*_, Recorded(event=Job.DeadLettered()), _]:
                return  # it has failed, and now no replay will change that
            case (
                Job.DeadLettered(reason=reason) | Job.Cancelled(reason=reason),
                [Recorded(event=Job.Requested(kind=kind, payload=payload)), *_],
            ) if kind == EVALUATE:
                id = UUID(payload["evaluation"])
                # a dead letter may be taken up again and bring a result; nobody wants that of what was cancelled
                dead = isinstance(ended.event, Job.DeadLettered)
                cancelled = f"its job was cancelled: {reason}"
                command = FailEvaluation(id, reason) if dead else CancelEvaluation(id, cancelled)
                try:
                    self.execute(command, ended.followed_by(self.actor))
                except AlreadyDone as over:
                    logger.debug("job {} ends no evaluation: {}", ended.event.originator_id, over)
