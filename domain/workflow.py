"""A workflow run: one task, worked on by agents, step by step, until it is completed, failed or stopped.

The aggregate holds counters, ids and the lease, never message texts: those live in the step events alone. Its history
may be long, so it declares its fields, as what shall have snapshots must.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid, LeaseLost
from domain.id_set import IdSet
from domain.model_call import ModelCall
from domain.ranking import Ballot, Outcome


class State(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


MOST_AGENTS = 12
"""In one run. Each judges every pair of the others' answers, so that verdicts grow with the third power."""

FINISHED = frozenset({State.COMPLETED, State.FAILED, State.STOPPED})


@dataclass(frozen=True, slots=True)
class Task:
    """What the agents are asked: the user's turns, in order. `ref` is the caller's own name for it."""

    turns: tuple[str, ...]
    ref: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class CastMember:
    """An agent of this run and the adapter that it runs on from start to end, e.g. `team@1` (None: the base model)."""

    agent: str
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One model call of a run. `phase` is what it was for (`answer`, `score`, `verdict`), `n` counts within it."""

    id: UUID
    agent: str
    phase: str
    n: int
    call: ModelCall


def step_id(run: UUID, agent: str, phase: str, n: int) -> UUID:
    """A step's id follows from its place in the run, so that a run taken over recognises what is recorded."""
    return uuid5(run, f"{agent}/{phase}/{n}")


class Workflow(BaseAggregate[UUID]):
    TOPIC = "workflow"

    kind: str
    roster_revision: int
    state: State = field(default=State.REQUESTED, init=False)
    worker: str = field(default="", init=False)
    epoch: int = field(default=0, init=False)
    cast: tuple[CastMember, ...] = field(default=(), init=False)
    steps: IdSet = field(default_factory=IdSet, init=False)
    ballots: IdSet = field(default_factory=IdSet, init=False)
    unparseable: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`batch` groups the runs that were asked for together; `roster_revision` pins the agents' configuration;
        `max_tokens`, where set, caps each answer."""

        TOPIC = "workflow.requested"
        originator_topic: str
        kind: str
        task: Task
        roster_revision: int
        agents: tuple[str, ...]
        batch: str
        max_tokens: int | None

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

    class StepRecorded(Event):
        TOPIC = "workflow.step_recorded"
        epoch: int
        step: Step

        def apply(self, aggregate: Workflow) -> None:
            aggregate.steps.add(self.step.id)
            usage = self.step.call.usage
            aggregate.tokens += usage.input_tokens + usage.output_tokens

    class BallotCast(Event):
        TOPIC = "workflow.ballot_cast"
        epoch: int
        ballot: Ballot

        def apply(self, aggregate: Workflow) -> None:
            aggregate.ballots.add(self.ballot.id)
            aggregate.unparseable += self.ballot.outcome is Outcome.UNPARSEABLE

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
    ) -> Self:
        """Asks for a run. Raises Invalid for a task without turns, an empty turn, an agent named twice, or too many."""
        if not task.turns or not all(turn.strip() for turn in task.turns):
            raise Invalid("a task needs at least one turn, and no turn may be empty")
        if len(set(agents)) < len(agents):
            raise Invalid("an agent takes part once; name each one once")
        if len(agents) > MOST_AGENTS:
            raise Invalid(
                f"at most {MOST_AGENTS} agents take part in a run, since each one judges all the others' answers; "
                f"these are {len(agents)}: name those who shall"
            )
        if max_tokens is not None and max_tokens < 1:
            raise Invalid("max_tokens must be at least 1")
        return cls._create(
            cls.Requested,
            id=id,
            kind=kind,
            task=task,
            roster_revision=roster_revision,
            agents=agents,
            batch=batch,
            max_tokens=max_tokens,
            timestamp=at,
        )

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def start(self, worker: str, cast: tuple[CastMember, ...], at: datetime) -> None:
        """A worker takes the run, in the next epoch. A run taken over keeps the cast that it began with.

        Raises AlreadyDone once the run is finished.
        """
        if self.finished:
            raise AlreadyDone(f"the run is {self.state}")
        cast = self.cast or cast
        self.trigger_event(self.Started, worker=worker, epoch=self.epoch + 1, cast=cast, timestamp=at)

    def record_step(self, epoch: int, step: Step, at: datetime) -> None:
        """Keeps a model call. A step that is recorded already changes nothing. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        if step.id not in self.steps:
            self.trigger_event(self.StepRecorded, epoch=epoch, step=step, timestamp=at)

    def cast_ballot(self, epoch: int, ballot: Ballot, at: datetime) -> None:
        """Keeps a ballot, the unparseable ones too. A repeat changes nothing.

        Raises LeaseLost, AlreadyDone, or Invalid for a ballot on or by steps that the run did not record.
        """
        self._must_hold(epoch)
        if not all(step in self.steps for step in (ballot.first, ballot.second, *ballot.steps)):
            raise Invalid("a ballot names steps that the run did not record")
        if ballot.id not in self.ballots:
            self.trigger_event(self.BallotCast, epoch=epoch, ballot=ballot, timestamp=at)

    def complete(self, epoch: int, at: datetime) -> None:
        """Every step is done. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(
            self.Completed,
            epoch=epoch,
            steps=len(self.steps),
            ballots=len(self.ballots),
            unparseable=self.unparseable,
            timestamp=at,
        )

    def fail(self, epoch: int, reason: str, at: datetime) -> None:
        """The run cannot go on. Raises LeaseLost or AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Failed, epoch=epoch, reason=reason, timestamp=at)

    def stop(self, reason: str, at: datetime) -> None:
        """Somebody ended the run. Raises AlreadyDone when it is finished already."""
        if self.finished:
            raise AlreadyDone(f"the run is {self.state} already")
        self.trigger_event(self.Stopped, reason=reason, timestamp=at)

    def _must_hold(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise LeaseLost(f"the run is in epoch {self.epoch}; epoch {epoch} was taken over")
        if self.state is not State.RUNNING:
            raise AlreadyDone(f"the run is {self.state}")
