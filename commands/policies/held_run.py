"""A workflow run in the hands of one worker: what it is about, who takes part, and how its steps are recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID, uuid5

from commands.policies.calls_under_way import CALLS_AT_ONCE, CallsUnderWay, LetGo
from commands.policies.in_logs import in_logs
from commands.policies.past import Past
from commands.policies.patience import Patience
from commands.workflows import (
    BeginStep,
    CastBallot,
    CompleteWorkflow,
    EndAtLimit,
    FailWorkflow,
    RecordStep,
    RecordTool,
    ReleaseWorkflow,
    ReportWorkforce,
)
from domain.current_step import CurrentStep, asking_for
from domain.errors import AlreadyDone
from domain.events import Actor, ActorKind, Recorded
from domain.limits import Limit, LimitReached
from domain.model_call import ModelCall, ToolCall
from domain.ports.agents import Agent, Heard
from domain.ports.events import Execute, Spans
from domain.ranking import Ballot
from domain.steps import TOOL, Step, ToolStep, step_id
from domain.text import excerpt
from domain.workflow import Workflow
from domain.workforce import Report

T = TypeVar("T")

MOST_ROUNDS = 8
"""Of tools in one turn. After them the agent is asked once more, and must answer in words."""


class HeldRun:
    """What a worker does in the epoch that it began. Commands wait for each other, since they all write to one
    aggregate, and each has an id that follows from what it says, so it can be repeated through an outage of the store.

    Every method raises LeaseLost or AlreadyDone once the run was taken over or is over, RunPaused once nothing new may
    begin, and StoreUnavailable.
    """

    def __init__(
        self,
        requested: Workflow.Requested,
        history: Sequence[Recorded],
        execute: Execute,
        actor: Actor,
        patiently: Patience,
        span: Spans = in_logs,
        calls_at_once: int = CALLS_AT_ONCE,
    ) -> None:
        """`history`: the run's events from its request to this worker's start. `run` is what it was then."""
        self.run = Workflow.after(recorded.event for recorded in history)
        self.id: UUID = self.run.id
        self.requested = requested
        self.task = requested.task
        self.past = Past(self.id, {agent: agent for agent in requested.agents}, {}, {})
        self.agents: Mapping[str, Agent] = {}
        self._steps = {
            recorded.event.step.id: recorded.event.step
            for recorded in history
            if isinstance(recorded.event, Workflow.StepRecorded)
        }
        self._tools = {
            recorded.event.step.id: recorded.event.step
            for recorded in history
            if isinstance(recorded.event, Workflow.ToolUsed)
        }
        self._rounds: Counter[tuple[str, str]] = Counter()
        self._uses: Counter[str] = Counter()
        self._ballots = {
            recorded.event.ballot.id for recorded in history if isinstance(recorded.event, Workflow.BallotCast)
        }
        self._reports = self.run.reports
        self._first = history[0]
        self._epoch = self.run.epoch
        self._execute = execute
        self._actor = actor
        self._patiently = patiently
        self._span = span
        self._writing = asyncio.Lock()
        self._calls = CallsUnderWay(calls_at_once)

    def recorded(self, agent: str, phase: str, n: int) -> Step | None:
        """The step, where an earlier worker, or this one, came that far, or the run that this one was taken from."""
        return self._steps.get(step_id(self.id, agent, phase, n)) or self.past.steps.get((agent, phase, n))

    def order(self, judge: str, author: str) -> UUID:
        """By what a judge's order of others' answers is chosen: only the run and who they are decide, in a fork those
        of the run with which it began."""
        return uuid5(self.past.root, f"{self.past.names[judge]}/sees/{self.past.names[author]}")

    async def step(self, agent: str, phase: str, n: int, call: Callable[[], Awaitable[ModelCall]]) -> Step:
        """The recorded step, or the one that this call makes.

        Raises what `call` raises, LimitReached, and LetGo once `let_go` was called.
        """
        if known := self.recorded(agent, phase, n):
            return known
        return await self._calls.make(lambda: self._make_step(agent, phase, n, call))

    async def say(self, agent: str, phase: str, n: int, turn: str) -> Step:
        """The agent's answer to that turn, of which it then remembers both, also where the steps are recorded already.

        Where it wants tools first, they are used one by one and it is asked again. Each of these is a step, so that the
        next answers have higher numbers: an agent says one thing after the other, in the order of `n`. Raises
        ModelUnavailable, ToolsUnavailable, and what `step` raises.
        """
        said = await self._say(agent, phase, n, turn, tools=True)
        for left in reversed(range(MOST_ROUNDS)):
            if not (wanted := said.call.wanted):
                break
            used = [await self._use(agent, call) for call in wanted]
            self._rounds[agent, phase] += 1
            said = await self._say(agent, phase, n, used, tools=left > 0)
        return said

    async def cast(self, ballot: Ballot) -> None:
        """Records the judge's opinion, once."""
        if ballot.id not in self._ballots:
            command = CastBallot(self.id, self._epoch, ballot)
            await self._record(command, Actor(ballot.judge, ActorKind.AGENT), f"ballot/{ballot.id}")
            self._ballots.add(ballot.id)

    async def report(self, n: int, report: Report) -> None:
        """Records the nth thing that the run's workforce tells, once."""
        if n >= self._reports:
            await self._record(ReportWorkforce(self.id, self._epoch, n, report), self._actor, f"report/{n}")
            self._reports = n + 1

    def let_go(self) -> None:
        """Begins no more steps."""
        self._calls.end(LetGo("the worker was told to stop"))

    def give_up(self, reason: str) -> None:
        """The run is over: what the models would still answer is of no use."""
        self._calls.give_up(AlreadyDone(reason))

    async def complete(self) -> None:
        """Everything is recorded."""
        await self._record(CompleteWorkflow(self.id, self._epoch), self._actor, "complete")

    async def fail(self, reason: str) -> None:
        """The run cannot go on."""
        await self._record(FailWorkflow(self.id, self._epoch, excerpt(reason)), self._actor, "fail")

    async def end_at(self, limit: Limit, step: UUID | None = None) -> None:
        """The run has reached that limit; `step` is the one that took too long."""
        await self._record(EndAtLimit(self.id, self._epoch, limit, step), self._actor, f"end/{limit}")

    async def release(self, reason: str) -> None:
        """Another worker may go on at once."""
        await self._record(ReleaseWorkflow(self.id, self._epoch, reason), self._actor, "release")

    async def _say(self, agent: str, phase: str, n: int, heard: Heard, tools: bool) -> Step:
        """`n` without the rounds of tools that went before."""
        speaker, n = self.agents[agent], n + self._rounds[agent, phase]
        if known := self.recorded(agent, phase, n):
            speaker.remember(heard, known.call)
            return known
        return await self.step(agent, phase, n, lambda: speaker.answer(heard, tools))

    async def _use(self, agent: str, wanted: ToolCall) -> ToolCall:
        n = self._uses[agent]
        self._uses[agent] += 1
        known = self._tools.get(step_id(self.id, agent, TOOL, n)) or self.past.tools.get((agent, TOOL, n))
        if known:
            return known.call
        return (await self._calls.make(lambda: self._make_use(agent, n, wanted))).call

    async def _make_step(self, agent: str, phase: str, n: int, call: Callable[[], Awaitable[ModelCall]]) -> Step:
        async with self._begun(agent, phase, n) as (id, attempt):
            step = Step(id, agent, phase, n, await self._in_time(id, call), attempt)
            await self._record(RecordStep(self.id, self._epoch, step), Actor(agent, ActorKind.AGENT), f"step/{id}")
        self._steps[id] = step
        return step

    async def _make_use(self, agent: str, n: int, wanted: ToolCall) -> ToolStep:
        async with self._begun(agent, TOOL, n) as (id, attempt):
            used = await self._in_time(id, lambda: self.agents[agent].use(wanted))
            step = ToolStep(id, agent, n, used.call, used.seconds, attempt)
            await self._record(RecordTool(self.id, self._epoch, step), Actor(agent, ActorKind.AGENT), f"step/{id}")
        return step

    @asynccontextmanager
    async def _begun(self, agent: str, phase: str, n: int) -> AsyncIterator[tuple[UUID, int]]:
        """The id of the step that is to be made, and which attempt at it this is."""
        id = step_id(self.id, agent, phase, n)
        begin = BeginStep(self.id, self._epoch, agent, phase, n)
        await self._write(begin, Actor(agent, ActorKind.AGENT), f"begin/{id}")
        attempt = self.run.attempt_at(id)
        current = CurrentStep(self.id, agent, phase, n, attempt)
        with self._span(f"step {phase}", step=str(id), agent=agent, n=n, attempt=attempt), asking_for(current):
            yield id, attempt

    async def _in_time(self, step: UUID, call: Callable[[], Awaitable[T]]) -> T:
        allowed = self.run.limits.step_seconds
        limit = asyncio.timeout(allowed)
        try:
            async with limit:
                return await call()
        except TimeoutError as error:
            if allowed is None or not limit.expired():
                raise
            raise LimitReached(Limit.STEP_SECONDS, allowed, step) from error

    async def _record(self, command: object, actor: Actor, name: str) -> None:
        await asyncio.shield(self._write(command, actor, name))  # it is paid for, whatever else is given up meanwhile

    async def _write(self, command: object, actor: Actor, name: str) -> None:
        """Where it is cancelled before its turn has come, nothing is written."""
        envelope = self._first.followed_by(actor, uuid5(self.id, f"{self._epoch}/{name}"))
        async with self._writing:
            await asyncio.to_thread(self._patiently, lambda: self._execute(command, envelope))
