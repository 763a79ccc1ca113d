"""A batch: many tasks, each for a run of its own, of which never more than `at_once` are unfinished.

It asks for the runs in the order of their tasks, and takes note of how each ends. It knows its runs by their ids, and
of its tasks how many there are: their texts are in its request alone.
"""

from __future__ import annotations

from dataclasses import InitVar, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid
from domain.limits import Limits
from domain.steps import Task
from domain.workflow import FELL_SHORT, FINISHED, State

MOST_TASKS = 1_000
MOST_CHARACTERS = 1_000_000
"""Of all its tasks together: they are one event."""


class BatchState(StrEnum):
    """`completed`: every task has a run that ended, some perhaps before everything was done."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"


OVER = frozenset({BatchState.COMPLETED, BatchState.STOPPED})
OPEN = tuple(state for state in BatchState if state not in OVER)


class Batch(BaseAggregate[UUID]):
    TOPIC = "batch"

    tasks: InitVar[tuple[Task, ...]]
    at_once: int | None
    size: int = field(init=False)
    state: BatchState = field(default=BatchState.RUNNING, init=False)
    requested: int = field(default=0, init=False)
    unfinished: dict[UUID, int] = field(default_factory=dict, init=False)
    fell_short: dict[UUID, int] = field(default_factory=dict, init=False)
    again: tuple[UUID, ...] = field(default=(), init=False)
    new_limits: Limits | None = field(default=None, init=False)
    completed: int = field(default=0, init=False)
    stopped: int = field(default=0, init=False)

    def __post_init__(self, tasks: tuple[Task, ...]) -> None:
        self.size = len(tasks)

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """What each of its runs is asked. `roster_revision` and `agents` are those of all of them, whenever they begin;
        `at_once` None: all of them."""

        TOPIC = "batch.requested"
        originator_topic: str
        name: str
        kind: str
        tasks: tuple[Task, ...]
        roster_revision: int
        agents: tuple[str, ...]
        max_tokens: int | None
        limits: Limits
        at_once: int | None

    class RunRequested(Event):
        """The run for the task of that number, from 0 on, is asked for: its own request follows."""

        TOPIC = "batch.run_requested"
        task: int
        run: UUID

        def apply(self, aggregate: Batch) -> None:
            aggregate.requested = self.task + 1
            aggregate.unfinished[self.run] = self.task

    class RunEnded(Event):
        """In one of the states in which a run is finished."""

        TOPIC = "batch.run_ended"
        task: int
        run: UUID
        state: State

        def apply(self, aggregate: Batch) -> None:
            del aggregate.unfinished[self.run]
            if self.state in FELL_SHORT:
                aggregate.fell_short[self.run] = self.task
            aggregate.completed += self.state is State.COMPLETED
            aggregate.stopped += self.state is State.STOPPED

    class RunRetried(Event):
        """A run that fell short is unfinished again, as the batch was retried, or that run alone."""

        TOPIC = "batch.run_retried"
        task: int
        run: UUID

        def apply(self, aggregate: Batch) -> None:
            del aggregate.fell_short[self.run]
            aggregate.unfinished[self.run] = self.task
            aggregate.again = _without(aggregate.again, self.run)
            if aggregate.state is BatchState.COMPLETED:
                aggregate.state = BatchState.RUNNING

    class RunNotRetried(Event):
        """It cannot be, for that reason, and stays as it was."""

        TOPIC = "batch.run_not_retried"
        task: int
        run: UUID
        reason: str

        def apply(self, aggregate: Batch) -> None:
            aggregate.again = _without(aggregate.again, self.run)

    class Paused(Event):
        """No further run is asked for; those that were go on."""

        TOPIC = "batch.paused"
        reason: str

        def apply(self, aggregate: Batch) -> None:
            aggregate.state = BatchState.PAUSED

    class Resumed(Event):
        TOPIC = "batch.resumed"

        def apply(self, aggregate: Batch) -> None:
            aggregate.state = BatchState.RUNNING

    class Retried(Event):
        """Those of its runs that fell short are taken up again, in their turn, under these limits (None: as before)."""

        TOPIC = "batch.retried"
        limits: Limits | None
        reason: str

        def apply(self, aggregate: Batch) -> None:
            aggregate.again = tuple(sorted(aggregate.fell_short, key=lambda run: aggregate.fell_short[run]))
            aggregate.new_limits = self.limits
            if aggregate.state is BatchState.COMPLETED:
                aggregate.state = BatchState.RUNNING

    class Stopped(Event):
        """Nothing more is asked for, and these runs, which are unfinished, are to be stopped."""

        TOPIC = "batch.stopped"
        reason: str
        runs: tuple[UUID, ...]

        def apply(self, aggregate: Batch) -> None:
            aggregate.state = BatchState.STOPPED
            aggregate.again = ()

    class Completed(Event):
        """Nothing is left to do. How many of its runs completed, fell short, and were stopped."""

        TOPIC = "batch.completed"
        completed: int
        fell_short: int
        stopped: int

        def apply(self, aggregate: Batch) -> None:
            aggregate.state = BatchState.COMPLETED

    @classmethod
    def request(
        cls,
        id: UUID,
        name: str,
        kind: str,
        tasks: tuple[Task, ...],
        roster_revision: int,
        agents: tuple[str, ...],
        max_tokens: int | None,
        limits: Limits,
        at_once: int | None,
        at: datetime,
    ) -> Self:
        """Asks for a batch. What is said of its runs is theirs to refuse, as they are asked for.

        Raises Invalid for too few or too many tasks, for what no agent could be asked, and for none at once.
        """
        if not 1 <= len(tasks) <= MOST_TASKS:
            raise Invalid(f"a batch has 1 to {MOST_TASKS:,} tasks, and these are {len(tasks):,}: make several of them")
        if (characters := sum(task.characters for task in tasks)) > MOST_CHARACTERS:
            raise Invalid(
                f"the tasks of a batch have {MOST_CHARACTERS:,} characters together, and these have {characters:,}: "
                "make several batches of them"
            )
        if at_once is not None and at_once < 1:
            raise Invalid("at_once must be at least 1; leave it out for all at once")
        for number, task in enumerate(tasks):
            task.must_be_askable(f"task {number}")
        return cls._create(
            cls.Requested,
            id=id,
            name=name,
            kind=kind,
            tasks=tasks,
            roster_revision=roster_revision,
            agents=agents,
            max_tokens=max_tokens,
            limits=limits,
            at_once=at_once,
            timestamp=at,
        )

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def has_room(self) -> bool:
        """Whether another run shall begin now."""
        waits = self.again or self.requested < self.size
        room = self.at_once is None or len(self.unfinished) < self.at_once
        return self.state is BatchState.RUNNING and bool(waits) and room

    def request_run(self, run: UUID, at: datetime) -> None:
        """That run is for the next task. Raises AlreadyDone where there is no room for it."""
        self._must_have_room()
        if self.requested == self.size:
            raise AlreadyDone("every task of the batch has its run")
        self.trigger_event(self.RunRequested, task=self.requested, run=run, timestamp=at)

    def retry_run(self, run: UUID, at: datetime) -> None:
        """One of those that wait for it is taken up `again`. Raises AlreadyDone where there is no room for it."""
        self._must_have_room()
        self.trigger_event(self.RunRetried, task=self._waiting(run), run=run, timestamp=at)

    def pass_over(self, run: UUID, reason: str, at: datetime) -> None:
        """One of those that wait for it cannot be taken up again. Raises AlreadyDone where it does not wait."""
        self.trigger_event(self.RunNotRetried, task=self._waiting(run), run=run, reason=reason, timestamp=at)

    def note(self, run: UUID, state: State, at: datetime) -> None:
        """One of its runs is in that state now. What is known, and what is none of its runs, changes nothing."""
        if run in self.fell_short and state not in FELL_SHORT:
            self.trigger_event(self.RunRetried, task=self.fell_short[run], run=run, timestamp=at)
        if run in self.unfinished and state in FINISHED:
            self.trigger_event(self.RunEnded, task=self.unfinished[run], run=run, state=state, timestamp=at)

    def complete_if_done(self, at: datetime) -> None:
        """Where nothing is left to do."""
        if not (self.over or self.unfinished or self.again) and self.requested == self.size:
            counts = {"completed": self.completed, "fell_short": len(self.fell_short), "stopped": self.stopped}
            self.trigger_event(self.Completed, **counts, timestamp=at)

    def pause(self, reason: str, at: datetime) -> None:
        """Raises AlreadyDone unless it is running."""
        if self.state is not BatchState.RUNNING:
            raise AlreadyDone(f"the batch is {self.state} already")
        self.trigger_event(self.Paused, reason=reason, timestamp=at)

    def resume(self, at: datetime) -> None:
        """Raises AlreadyDone when it is not paused."""
        if self.state is not BatchState.PAUSED:
            raise AlreadyDone(f"the batch is {self.state}; only a paused batch can be resumed")
        self.trigger_event(self.Resumed, timestamp=at)

    def retry(self, limits: Limits | None, reason: str, at: datetime) -> None:
        """What fell short is tried again. Raises AlreadyDone where nothing did, and when somebody stopped the batch;
        Invalid for limits of nothing."""
        if self.state is BatchState.STOPPED:
            raise AlreadyDone("the batch is stopped; its runs can be retried one by one")
        if not self.fell_short:
            raise AlreadyDone("no run of the batch failed or reached a limit: there is nothing to retry")
        if limits:
            limits.must_make_sense()
        self.trigger_event(self.Retried, limits=limits, reason=reason, timestamp=at)

    def stop(self, reason: str, at: datetime) -> None:
        """Ends it and its runs. Raises AlreadyDone when it is over."""
        if self.over:
            raise AlreadyDone(f"the batch is {self.state} already")
        self.trigger_event(self.Stopped, reason=reason, runs=tuple(self.unfinished), timestamp=at)

    def _must_have_room(self) -> None:
        if not self.has_room:
            raise AlreadyDone(f"the batch is {self.state}, with {len(self.unfinished)} runs unfinished: it has no room")

    def _waiting(self, run: UUID) -> int:
        """The task of a run that is to be taken up again. Raises AlreadyDone for another one."""
        if run not in self.again:
            raise AlreadyDone(f"run {run} does not wait to be taken up again")
        return self.fell_short[run]


def _without(runs: tuple[UUID, ...], one: UUID) -> tuple[UUID, ...]:
    return tuple(run for run in runs if run != one)
