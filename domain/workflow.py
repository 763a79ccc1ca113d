"""A workflow run: one task, worked on by agents, step by step, until it is completed or ends otherwise.

The aggregate holds counters, ids and the lease, never message texts: those live in the step events alone. Its history
may be long, so it declares its fields, as what shall have snapshots must.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid, LeaseLost
from domain.id_set import IdSet
from domain.limits import NO_LIMITS, Limit, LimitReached, Limits, TimeLeft
from domain.ranking import Ballot, Outcome
from domain.steps import CastMember, Fork, Step, Task, ToolStep, step_id
from domain.workforce import Report


class State(StrEnum):
    """`requested`: waits for a worker, be it the first or another one. `timed_out` and `exhausted`: it reached a limit
    of time, or of steps or tokens."""

    REQUESTED = "requested"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXHAUSTED = "exhausted"
    STOPPED = "stopped"


FELL_SHORT = frozenset({State.FAILED, State.TIMED_OUT, State.EXHAUSTED})
"""Ended before everything was done, and not because anybody wanted it: may be tried again."""
CLOSED = frozenset({State.COMPLETED, State.STOPPED})
"""After these nothing happens to a run any more."""
OPEN = tuple(state for state in State if state not in CLOSED)
FINISHED = FELL_SHORT | CLOSED


MOST_ATTEMPTS = 5
"""At one step, since the run was last retried. A call that kills its worker is not paid for again and again."""


class RunPaused(AlreadyDone):
    """Nothing new begins in a paused run. HTTP 409."""

    def __init__(self) -> None:
        super().__init__("the run is paused")


class Workflow(BaseAggregate[UUID]):
    TOPIC = "workflow"

    kind: str
    roster_revision: int
    limits: Limits
    fork: InitVar[Fork | None]
    shared: IdSet = field(default_factory=IdSet, init=False)
    state: State = field(default=State.REQUESTED, init=False)
    worker: str = field(default="", init=False)
    epoch: int = field(default=0, init=False)
    cast: tuple[CastMember, ...] = field(default=(), init=False)
    steps: IdSet = field(default_factory=IdSet, init=False)
    ballots: IdSet = field(default_factory=IdSet, init=False)
    unparseable: int = field(default=0, init=False)
    reports: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    under_way: dict[UUID, int] = field(default_factory=dict, init=False)
    lost: dict[UUID, int] = field(default_factory=dict, init=False)
    forgiven: dict[UUID, int] = field(default_factory=dict, init=False)
    began_at: datetime | None = field(default=None, init=False)
    paused_at: datetime | None = field(default=None, init=False)
    rested: timedelta = field(default=timedelta(), init=False)

    def __post_init__(self, fork: Fork | None) -> None:
        for step in fork.shared if fork else ():
            self.shared.add(step)

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`batch` groups the runs that were asked for together; `roster_revision` pins the agents' configuration;
        `max_tokens`, where set, caps each answer."""

        TOPIC = "workflow.requested"
        class_version = 3
        originator_topic: str
        kind: str
        task: Task
        roster_revision: int
        agents: tuple[str, ...]
        batch: str
        max_tokens: int | None
        limits: Limits
        fork: Fork | None

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """There were no limits, and no forks."""
            limits = {"tokens": None, "steps": None, "seconds": None, "step_seconds": None}
            return data | {"limits": limits, "fork": None}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            """No agent's answers were given again."""
            fork = data["fork"]
            if fork is None:
                return data
            return data | {"fork": fork | {"specs": [{"cache": None, **spec} for spec in fork["specs"]]}}

    class Started(Event):
        """A worker took the run, or took it over (epoch > 1)."""

        TOPIC = "workflow.started"
        worker: str
        epoch: int
        cast: tuple[CastMember, ...]

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.RUNNING
            aggregate.worker = self.worker
            aggregate.epoch = self.epoch
            aggregate.cast = self.cast
            aggregate.began_at = aggregate.began_at or self.timestamp
            aggregate.lost |= aggregate.under_way
            aggregate.under_way = {}

    class StepBegun(Event):
        """A model is about to be asked, or a tool to be used. `attempt` above 1: again, as the one before was not
        recorded: its worker was lost, or it failed or was given up and the run was retried."""

        TOPIC = "workflow.step_begun"
        epoch: int
        step: UUID
        agent: str
        phase: str
        n: int
        attempt: int

        def apply(self, aggregate: Workflow) -> None:
            aggregate.under_way[self.step] = self.attempt

    class StepRecorded(Event):
        TOPIC = "workflow.step_recorded"
        class_version = 3
        epoch: int
        step: Step

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """How often a call was made was not written down, nor what the endpoint called a tool's call."""
            step = data["step"]
            tool_calls = [{"id": "", **tool} for tool in step["call"]["tool_calls"]]
            return data | {"step": {**step, "call": {**step["call"], "tool_calls": tool_calls}, "attempt": 1}}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            """A model was asked for every step. Nobody had offered it tools, so none that it asked for is wanted."""
            step = data["step"]
            tool_calls = [
                tool | {"error": "no tools were offered"} if not tool["result"] and tool["error"] is None else tool
                for tool in step["call"]["tool_calls"]
            ]
            return data | {"step": {**step, "call": {**step["call"], "tool_calls": tool_calls, "cached": False}}}

        def apply(self, aggregate: Workflow) -> None:
            aggregate.steps.add(self.step.id)
            aggregate.under_way.pop(self.step.id, None)
            aggregate.lost.pop(self.step.id, None)
            usage = self.step.call.usage
            aggregate.tokens += usage.input_tokens + usage.output_tokens

    class ToolUsed(Event):
        """A tool has done what a model call of the agent asked for, or said why not."""

        TOPIC = "workflow.tool_used"
        epoch: int
        step: ToolStep

        def apply(self, aggregate: Workflow) -> None:
            aggregate.steps.add(self.step.id)
            aggregate.under_way.pop(self.step.id, None)
            aggregate.lost.pop(self.step.id, None)

    class BallotCast(Event):
        TOPIC = "workflow.ballot_cast"
        epoch: int
        ballot: Ballot

        def apply(self, aggregate: Workflow) -> None:
            aggregate.ballots.add(self.ballot.id)
            aggregate.unparseable += self.ballot.outcome is Outcome.UNPARSEABLE

    class WorkforceReported(Event):
        """What the workforce tells of its work. `n` counts from 0: played again, a run tells the same again."""

        TOPIC = "workflow.workforce_reported"
        epoch: int
        n: int
        report: Report

        def apply(self, aggregate: Workflow) -> None:
            aggregate.reports = self.n + 1

    class Paused(Event):
        """Nothing new begins; the calls under way end and are recorded."""

        TOPIC = "workflow.paused"
        reason: str

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.PAUSED
            aggregate.paused_at = self.timestamp

    class Resumed(Event):
        """It goes on where it was: with its worker, where that still waits for calls under way, else with another."""

        TOPIC = "workflow.resumed"

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.RUNNING if aggregate.worker else State.REQUESTED
            if aggregate.paused_at and aggregate.began_at:
                aggregate.rested += self.timestamp - aggregate.paused_at
            aggregate.paused_at = None

    class Released(Event):
        """The worker lets go: whatever it began is recorded, and another one may take the run at once."""

        TOPIC = "workflow.released"
        epoch: int
        reason: str

        def apply(self, aggregate: Workflow) -> None:
            aggregate.worker = ""
            if aggregate.state is State.RUNNING:
                aggregate.state = State.REQUESTED

    class Retried(Event):
        """A run that fell short goes on from what it has recorded, under these limits."""

        TOPIC = "workflow.retried"
        limits: Limits
        reason: str

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.REQUESTED
            aggregate.worker = ""
            aggregate.limits = self.limits
            aggregate.lost |= aggregate.under_way
            aggregate.forgiven = dict(aggregate.lost)
            aggregate.under_way = {}
            aggregate.began_at = None
            aggregate.rested = timedelta()

    class Completed(Event):
        TOPIC = "workflow.completed"
        epoch: int
        steps: int
        ballots: int
        unparseable: int

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.COMPLETED

    class Failed(Event):
        TOPIC = "workflow.failed"
        epoch: int
        reason: str

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.FAILED

    class TimedOut(Event):
        """The run, or that step of it, took longer than its limit allowed (seconds)."""

        TOPIC = "workflow.timed_out"
        epoch: int
        limit: Limit
        allowed: float
        step: UUID | None

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.TIMED_OUT

    class Exhausted(Event):
        """The run used up its steps or tokens."""

        TOPIC = "workflow.exhausted"
        epoch: int
        limit: Limit
        allowed: int
        used: int

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.EXHAUSTED

    class Stopped(Event):
        TOPIC = "workflow.stopped"
        reason: str

        def apply(self, aggregate: Workflow) -> None:
            aggregate.state = State.STOPPED

    @classmethod
    def request(
        cls,
        id: UUID,
        kind: str,
        task: Task,
        roster_revision: int,
        agents: tuple[str, ...],
        batch: str,
        max_tokens: int | None,
        at: datetime,
        limits: Limits = NO_LIMITS,
        fork: Fork | None = None,
    ) -> Self:
        """Asks for a run.

        Raises Invalid for a task without turns, an empty turn, an agent named twice, and limits of nothing.
        """
        task.must_be_askable()
        if len(set(agents)) < len(agents):
            raise Invalid("an agent takes part once; name each one once")
        if max_tokens is not None and max_tokens < 1:
            raise Invalid("max_tokens must be at least 1")
        limits.must_make_sense()
        return cls._create(
            cls.Requested,
            id=id,
            kind=kind,
            task=task,
            roster_revision=roster_revision,
            agents=agents,
            batch=batch,
            max_tokens=max_tokens,
            limits=limits,
            fork=fork,
            timestamp=at,
        )

    @staticmethod
    def after(history: Iterable[AggregateEvent]) -> Workflow:
        """The run as it is after these: its events from the first up to any other."""
        run: Workflow | None = None
        for event in history:
            run = event.mutate(run)
        if run is None:
            raise ValueError("a run has at least its request")
        return run

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def seconds_left(self, at: datetime) -> float | None:
        """Until its time is up, not below 0; None where it has no such limit."""
        if self.limits.seconds is None:
            return None
        worked = at - self.began_at - self.rested if self.began_at else timedelta()
        return max(0.0, self.limits.seconds - worked.total_seconds())

    def start(self, worker: str, cast: tuple[CastMember, ...], at: datetime) -> None:
        """A worker takes the run, in the next epoch. A run taken over keeps the cast that it began with.

        Raises AlreadyDone once the run is finished, and RunPaused.
        """
        self._must_go_on()
        cast = self.cast or cast
        self.trigger_event(self.Started, worker=worker, epoch=self.epoch + 1, cast=cast, timestamp=at)

    def begin_step(self, epoch: int, agent: str, phase: str, n: int, at: datetime) -> None:
        """A model is about to be asked, or a tool to be used; nothing where the step is recorded already.

        Raises LeaseLost, AlreadyDone, RunPaused, LimitReached where the run's time, steps or tokens are used up, and
        Invalid where it was begun too often.
        """
        self._must_hold(epoch)
        self._must_go_on()
        step = step_id(self.id, agent, phase, n)
        if step in self.steps:
            return
        if self.seconds_left(at) == 0:
            raise LimitReached(Limit.SECONDS, self.limits.seconds or 0)
        self.limits.must_allow(self.tokens, len(self.steps) + len(self.under_way.keys() | {step}))
        attempt = self.attempt_at(step)
        if attempt - self.forgiven.get(step, 0) > MOST_ATTEMPTS:
            raise Invalid(f"{agent}'s {phase} {n} was begun {MOST_ATTEMPTS} times, and its worker was lost each time")
        self.trigger_event(
            self.StepBegun, epoch=epoch, step=step, agent=agent, phase=phase, n=n, attempt=attempt, timestamp=at
        )

    def attempt_at(self, step: UUID) -> int:
        """Which one the next call for that step is; above 1 where one was begun and never recorded."""
        return max(self.under_way.get(step, 0), self.lost.get(step, 0)) + 1

    def record_step(self, epoch: int, step: Step, at: datetime) -> None:
        """Keeps a model call, also one that ends while the run is paused. A step that is recorded already changes
        nothing. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        if step.id not in self.steps:
            self.trigger_event(self.StepRecorded, epoch=epoch, step=step, timestamp=at)

    def record_tool(self, epoch: int, step: ToolStep, at: datetime) -> None:
        """Keeps the use of a tool, as `record_step` keeps a model call. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        if step.id not in self.steps:
            self.trigger_event(self.ToolUsed, epoch=epoch, step=step, timestamp=at)

    def cast_ballot(self, epoch: int, ballot: Ballot, at: datetime) -> None:
        """Keeps a ballot, the unparseable ones too. A repeat changes nothing.

        Raises LeaseLost, AlreadyDone, or Invalid for a ballot on or by steps that the run did not record.
        """
        self._must_hold(epoch)
        if not all(step in self.steps or step in self.shared for step in (ballot.first, ballot.second, *ballot.steps)):
            raise Invalid("a ballot names steps that the run neither recorded nor shares")
        if ballot.id not in self.ballots:
            self.trigger_event(self.BallotCast, epoch=epoch, ballot=ballot, timestamp=at)

    def report(self, epoch: int, n: int, report: Report, at: datetime) -> None:
        """Keeps the nth report of its workforce. One that is kept already changes nothing.

        Raises LeaseLost, AlreadyDone, or Invalid for one that comes before its turn.
        """
        self._must_hold(epoch)
        if n > self.reports:
            raise Invalid(f"report {n} comes before report {self.reports}")
        if n == self.reports:
            self.trigger_event(self.WorkforceReported, epoch=epoch, n=n, report=report, timestamp=at)

    def complete(self, epoch: int, at: datetime) -> None:
        """Every step is done. Raises LeaseLost, AlreadyDone or RunPaused."""
        self._must_hold(epoch)
        self._must_go_on()
        self.trigger_event(
            self.Completed,
            epoch=epoch,
            steps=len(self.steps),
            ballots=len(self.ballots),
            unparseable=self.unparseable,
            timestamp=at,
        )

    def fail(self, epoch: int, reason: str, at: datetime) -> None:
        """The run cannot go on. Raises LeaseLost, AlreadyDone or RunPaused."""
        self._must_hold(epoch)
        self._must_go_on()
        self.trigger_event(self.Failed, epoch=epoch, reason=reason, timestamp=at)

    def end_at(self, epoch: int, limit: Limit, step: UUID | None, at: datetime) -> None:
        """The run ends as it has reached that limit; `step` is the one that took too long.

        Raises LeaseLost, AlreadyDone, RunPaused, and TimeLeft where its time is not up.
        """
        self._must_hold(epoch)
        self._must_go_on()
        if limit is Limit.SECONDS and (left := self.seconds_left(at)):
            raise TimeLeft(left)
        allowed = getattr(self.limits, limit)
        if limit in (Limit.SECONDS, Limit.STEP_SECONDS):
            self.trigger_event(self.TimedOut, epoch=epoch, limit=limit, allowed=allowed, step=step, timestamp=at)
        else:
            used = self.tokens if limit is Limit.TOKENS else len(self.steps)
            self.trigger_event(self.Exhausted, epoch=epoch, limit=limit, allowed=allowed, used=used, timestamp=at)

    def pause(self, reason: str, at: datetime) -> None:
        """Begins nothing new until it is resumed. Raises AlreadyDone when it is finished, and RunPaused."""
        self._must_go_on()
        self.trigger_event(self.Paused, reason=reason, timestamp=at)

    def resume(self, at: datetime) -> None:
        """Raises AlreadyDone when it is not paused."""
        if self.state is not State.PAUSED:
            raise AlreadyDone(f"the run is {self.state}; only a paused run can be resumed")
        self.trigger_event(self.Resumed, timestamp=at)

    def release(self, epoch: int, reason: str, at: datetime) -> None:
        """Its worker lets go, with nothing under way. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Released, epoch=epoch, reason=reason, timestamp=at)

    def retry(self, limits: Limits | None, reason: str, at: datetime) -> None:
        """Goes on after it fell short: what is recorded stays, and its time begins anew. `limits` None: as before.

        Raises AlreadyDone for a run that did not fall short, and Invalid for limits that it has reached already.
        """
        if self.state not in FELL_SHORT:
            raise AlreadyDone(f"the run is {self.state}; only one that failed or reached a limit can be retried")
        limits = limits or self.limits
        limits.must_make_sense()
        try:
            limits.must_allow(self.tokens, len(self.steps) + 1)
        except LimitReached as reached:
            used = f"{self.tokens} tokens in {len(self.steps)} steps"
            raise Invalid(f"{reached}, as it has used {used}: allow it more") from reached
        self.trigger_event(self.Retried, limits=limits, reason=reason, timestamp=at)

    def stop(self, reason: str, at: datetime) -> None:
        """Somebody ended the run. Raises AlreadyDone when it is finished already."""
        if self.finished:
            raise AlreadyDone(f"the run is {self.state} already")
        self.trigger_event(self.Stopped, reason=reason, timestamp=at)

    def _must_hold(self, epoch: int) -> None:
        """Raises LeaseLost or AlreadyDone."""
        if epoch != self.epoch:
            raise LeaseLost(f"the run is in epoch {self.epoch}; epoch {epoch} was taken over")
        if self.finished:
            raise AlreadyDone(f"the run is {self.state}")
        if not self.worker:
            raise LeaseLost(f"epoch {epoch} of the run was let go")

    def _must_go_on(self) -> None:
        """Raises AlreadyDone or RunPaused."""
        if self.finished:
            raise AlreadyDone(f"the run is {self.state}")
        if self.state is State.PAUSED:
            raise RunPaused
