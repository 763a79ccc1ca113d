"""Whenever a workflow completed, propose what its ballots say: one preference for each pair that they tell apart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.past import past_of
from commands.policies.runner import Policy
from commands.preferences import ProposePreference
from domain.doubt import Support
from domain.errors import AlreadyDone, Invalid
from domain.events import Actor, Recorded, topic_of
from domain.model_call import Message
from domain.ports.events import EventLog, Execute
from domain.ports.statistics import Ranker
from domain.preference import Completion, Lineage, Pair
from domain.ranking import RankedPair, ranked_pairs, support, tally
from domain.steps import Step, Task
from domain.workflow import Workflow


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
        own = [event.step for event in events if isinstance(event, Workflow.StepRecorded)]
        requested = next(event for event in events if isinstance(event, Workflow.Requested))
        past = past_of(requested, self._log)
        shared = [(agent, step) for (agent, _, _), step in past.steps.items()]
        completions = answers(requested.task, [*shared, *((step.agent, step) for step in own)])
        pairs = ranked_pairs(self._ranker.rank(tally(ballots)), ballots)
        for ranked in pairs:
            rests_on = support(ranked, pairs, ballots)
            self._propose(past.root, run, requested.task, ranked, rests_on, completions, completed)

    def _propose(
        self,
        root: UUID,
        run: UUID,
        task: Task,
        ranked: RankedPair,
        rests_on: Support,
        completions: Mapping[UUID, Completion],
        completed: Recorded,
    ) -> None:
        command = ProposePreference(
            pair=Pair((Message("user", task.turns[0]),), completions[ranked.chosen], completions[ranked.rejected]),
            probability=ranked.probability,
            margin=ranked.margin,
            method=self._ranker.method,
            lineage=Lineage(run, ranked.ballots),
            id=preference_id(root, ranked, self._ranker.method),
            support=rests_on,
        )
        try:
            self._execute(command, completed.followed_by(self._actor))
        except AlreadyDone:
            logger.debug("preference {} of run {} was proposed before", command.id, run)
        except Invalid as nothing_to_learn:
            logger.info(
                "no preference of run {} on {} and {}: {}", run, ranked.chosen, ranked.rejected, nothing_to_learn
            )


def preference_id(root: UUID, ranked: RankedPair, method: str) -> UUID:
    """The same whichever of the two answers is the better one, and in every fork that shares both: whichever run of a
    `root` completes first proposes it."""
    one, other = sorted((ranked.chosen, ranked.rejected))
    return uuid5(root, f"{one}/{other}/{method}")


def answers(task: Task, steps: Iterable[tuple[str, Step]]) -> dict[UUID, Completion]:
    """Each answer by its last step, of which its author is told: the assistant's turns, and between them the user's
    later ones. `steps` are with the agent in whose place they count; those in which it wanted tools first are none of
    its turns."""
    turns: dict[str, list[Step]] = defaultdict(list)
    for agent, step in sorted(steps, key=lambda placed: placed[1].n):
        if step.phase == "answer" and not step.call.wanted:
            turns[agent].append(step)
    return {
        said[-1].id: Completion(_from_first_answer(task, said), said[-1].agent, said[-1].id)
        for said in turns.values()
        if len(said) == len(task.turns)
    }


def _from_first_answer(task: Task, said: Sequence[Step]) -> tuple[Message, ...]:
    messages = [Message("assistant", said[0].call.output)]
    for n, turn in enumerate(task.turns[1:], start=1):
        messages += [Message("user", turn), Message("assistant", said[n].call.output)]
    return tuple(messages)
