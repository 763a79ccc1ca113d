"""Whenever an evaluation speaks for an adapter by the rule, promote it, over what it was measured against."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid5

from loguru import logger

from commands.lora_adapters import PromoteAdapter
from commands.policies.runner import Policy
from domain.errors import AlreadyDone
from domain.evaluation import Evaluation
from domain.evaluation_figures import PromotionRule
from domain.events import Actor, Recorded, topic_of
from domain.ports.events import EventLog, Execute


@dataclass(frozen=True, slots=True)
class PromoteAdapters:
    """By that `rule`; None: nothing is promoted but by hand, and evaluations that complete meanwhile are let go by."""

    log: EventLog
    execute: Execute
    rule: PromotionRule | None
    actor: Actor

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("promote_adapters", (topic_of(Evaluation.Completed),), self.handle)

    async def handle(self, completed: Recorded) -> None:
        """Promotes the adapter, once for an evaluation, whatever became of it since; and not where another one came
        into use meanwhile, against which nothing was measured."""
        await asyncio.to_thread(self._promote, completed)

    def _promote(self, completed: Recorded) -> None:
        id = completed.event.originator_id
        match completed.event, self.log.history(id)[0].event:
            case Evaluation.Completed(figures=figures), Evaluation.Requested(subject=subject) if self.rule:
                if not self.rule.allows(figures):
                    logger.info("evaluation {} is not enough to promote {}", id, subject.adapter)
                    return
                reason = self.rule.reason(figures, subject.against, id)
                command = PromoteAdapter(subject.adapter, reason, id, over=subject.against)
                try:
                    self.execute(command, completed.followed_by(self.actor, uuid5(id, "promote")))
                except AlreadyDone as refused:
                    logger.info("{} is not promoted after evaluation {}: {}", subject.adapter, id, refused)
