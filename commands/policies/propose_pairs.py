"""Whenever a workflow completed, propose what its ballots say: one preference for each pair that they tell apart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.runner import Policy
from commands.preferences import ProposePreference
from domain.errors import AlreadyDone, Invalid
from domain.events import Actor, Recorded, topic_of
from domain.model_call import Message
from domain.ports import EventLog, Execute, Ranker
from domain.preference import Completion, Lineage, Pair
from domain.ranking import RankedPair, ranked_pairs
from domain.workflow import Step, Task, Workflow


class ProposePairs:
    """Repeating it changes nothing: a preference's id follows from the two answers and the method."""

    def __init__(self, log: EventLog, execute: Execute, ranker: Ranker, actor: Actor) -> None:
        self._log = log
        self._execute = execute
        self._ranker = ranker
        self._actor = actor

    @property
    def policy(self) -> Policy:
        """For a PolicyRunner."""
        return Policy("propose_pairs", (topic_of(Workflow.Completed),), self.handle)

    async def handle(self, completed: Recorded) -> None:
        """Proposes the pairs of the run that this event completes."""
        await asyncio.to_thread(self._propose_all, completed)

    def _propose_all(self, completed: Recorded) -> None:
        run = completed.event.originator_id
        events = [recorded.event for recorded in self._log.history(run)]
        ballots = [event.ballot for event in events if isinstance(event, Workflow.BallotCast)]
        steps = [event.step for event in events if isinstance(event, Workflow.StepRecorded)]
        task = next(event.task for event in events if isinstance(event, Workflow.Requested))
        completions = answers(task, steps)
        for ranked in ranked_pairs(self._ranker.strengths(ballots), ballots):
            self._propose(run, task, ranked, completions, completed)

    def _propose(
        self,
        run: UUID,
        task: Task,
        ranked: RankedPair,
        completions: Mapping[UUID, Completion],
        completed: Recorded,
    ) -> None:
        command = ProposePreference(
            pair=Pair((Message("user", task.turns[0]),), completions[ranked.chosen], completions[ranked.rejected]),
            probability=ranked.probability,
            margin=ranked.margin,
            method=self._ranker.method,
            lineage=Lineage(run, ranked.ballots),
            id=preference_id(run, ranked, self._ranker.method),
        )
        try:
            self._execute(command, completed.followed_by(self._actor))
        except AlreadyDone:
            logger.debug("preference {} of run {} was proposed before", command.id, run)
        except Invalid as nothing_to_learn:
            logger.info(
                "no preference of run {} on {} and {}: {}", run, ranked.chosen, ranked.rejected, nothing_to_learn
            )


def preference_id(run: UUID, ranked: RankedPair, method: str) -> UUID:
    """The same whichever of the two answers is the better one."""
    one, other = sorted((ranked.chosen, ranked.rejected))
    return uuid5(run, f"{one}/{other}/{method}")


def answers(task: Task, steps: Sequence[Step]) -> dict[UUID, Completion]:
    """Each agent's answer by its last step: the assistant's turns, and between them the user's later ones."""
    turns: dict[str, dict[int, Step]] = defaultdict(dict)
    for step in steps:
        if step.phase == "answer":
            turns[step.agent][step.n] = step
    last = len(task.turns) - 1
    return {
        said[last].id: Completion(_from_first_answer(task, said), agent, said[last].id)
        for agent, said in turns.items()
        if last in said
    }


def _from_first_answer(task: Task, said: Mapping[int, Step]) -> tuple[Message, ...]:
    messages = [Message("assistant", said[0].call.output)]
    for n, turn in enumerate(task.turns[1:], start=1):
        messages += [Message("user", turn), Message("assistant", said[n].call.output)]
    return tuple(messages)
