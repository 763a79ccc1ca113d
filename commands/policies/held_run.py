"""A workflow run in the hands of one worker: what it is about, who takes part, and how its steps are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID, uuid5

from commands.policies.patience import Patience
from commands.workflows import CastBallot, CompleteWorkflow, FailWorkflow, RecordStep
from domain.events import Actor, ActorKind, Envelope, Recorded
from domain.model_call import ModelCall
from domain.ports import Agent, Execute
from domain.ranking import Ballot
from domain.text import excerpt
from domain.workflow import Step, Task, Workflow, step_id


class HeldRun:
    """What a worker does in the epoch that it began. Commands wait for each other, since they all write to one
    aggregate, and each has an id that follows from what it says, so it can be repeated through an outage of the store.

    Every method raises LeaseLost or AlreadyDone once the run was taken over or is over, and StoreUnavailable.
    """

    def __init__(
        self,
        history: Sequence[Recorded],
        task: Task,
        epoch: int,
        execute: Execute,
        actor: Actor,
        patiently: Patience,
    ) -> None:
        """`history`: the run's events up to this worker's start."""
        self.id: UUID = history[0].event.originator_id
        self.task = task
        self.agents: Mapping[str, Agent] = {}
        self._steps = {
            recorded.event.step.id: recorded.event.step
            for recorded in history
            if isinstance(recorded.event, Workflow.StepRecorded)
        }
        self._ballots = {
            recorded.event.ballot.id for recorded in history if isinstance(recorded.event, Workflow.BallotCast)
        }
        self._requested = history[0]
        self._epoch = epoch
        self._execute = execute
        self._actor = actor
        self._patiently = patiently
        self._writing = asyncio.Lock()

    def recorded(self, agent: str, phase: str, n: int) -> Step | None:
        """The step, where an earlier worker, or this one, came that far."""
        return self._steps.get(step_id(self.id, agent, phase, n))

    async def step(self, agent: str, phase: str, n: int, call: Callable[[], Awaitable[ModelCall]]) -> Step:
        """The recorded step, or the one that this call makes. Raises what `call` raises."""
        if known := self.recorded(agent, phase, n):
            return known
        step = Step(step_id(self.id, agent, phase, n), agent, phase, n, await call())
        await self._record(RecordStep(self.id, self._epoch, step), Actor(agent, ActorKind.AGENT), f"step/{step.id}")
        self._steps[step.id] = step
        return step

    async def cast(self, ballot: Ballot) -> None:
        """Records the judge's opinion, once."""
        if ballot.id not in self._ballots:
            command = CastBallot(self.id, self._epoch, ballot)
            await self._record(command, Actor(ballot.judge, ActorKind.AGENT), f"ballot/{ballot.id}")
            self._ballots.add(ballot.id)

    async def complete(self) -> None:
        """Everything is recorded."""
        await self._record(CompleteWorkflow(self.id, self._epoch), self._actor, "complete")

    async def fail(self, reason: str) -> None:
        """The run cannot go on."""
        await self._record(FailWorkflow(self.id, self._epoch, excerpt(reason)), self._actor, "fail")

    async def _record(self, command: object, actor: Actor, name: str) -> None:
        envelope = self._requested.followed_by(actor, uuid5(self.id, f"{self._epoch}/{name}"))
        await asyncio.shield(self._write(command, envelope))  # it is paid for, whatever else is given up meanwhile

    async def _write(self, command: object, envelope: Envelope) -> None:
        async with self._writing:
            await asyncio.to_thread(self._patiently, lambda: self._execute(command, envelope))
