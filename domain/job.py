"""A job: one piece of work that some worker shall do, tried again when it fails, until it succeeds or is a dead letter.

A worker holds a job by its `epoch`, a fencing token that grows with each start: a report from an earlier epoch is
refused, whoever sends it. What the job is about, and what came of it, is in its events; the aggregate keeps what the
rules need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost

Json = dict[str, Any]
"""A JSON object."""

RESULT_CHARACTERS = 65_536
"""Of a result's text. What is larger belongs into a file."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A result that is too large for an event: the SHA-256 (hex) of a file of JSON, by which it is found, and its size
    in bytes."""

    sha256: str
    size: int


def result_text(result: Json) -> str:
    """The result as its size is measured, and as a file keeps it. Raises ValueError for what is no JSON, e.g. NaN."""
    return json.dumps(result, ensure_ascii=False, allow_nan=False)


class JobState(StrEnum):
    """`dead`: in the dead letters, until it is replayed or cancelled."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


CLOSED = (JobState.SUCCEEDED, JobState.CANCELLED)
"""After these nothing happens to a job any more."""
OPEN = tuple(state for state in JobState if state not in CLOSED)


class Priority(StrEnum):
    """In the order in which they are served."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class NotDue(DomainError):
    """The job waits for its time: `not_before`, or the end of its back-off. HTTP 409."""

    status = 409


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts a job has, how long one may be silent (`timeout`: without a result and a heartbeat), and how
    long the job rests between two: `first_delay`, doubled with each failure up to `longest_delay`. All in seconds."""

    max_attempts: int = 5
    first_delay: float = 2.0
    longest_delay: float = 300.0
    timeout: float = 300.0

    def check(self) -> None:
        """Raises Invalid for what no job could follow."""
        if not 1 <= self.max_attempts <= 100:
            raise Invalid("max_attempts must be from 1 to 100")
        if not 0 <= self.first_delay <= self.longest_delay <= 86_400:
            raise Invalid("delays must not be negative, nor the first one longer than the longest, nor that than a day")
        if not 0 < self.timeout <= 86_400:
            raise Invalid("timeout must be more than 0 seconds, and at most a day")

    def delay(self, failures: int, chance: float) -> timedelta:
        """After so many failures in a row. Between half and all of it, by `chance` from 0 to 1, so that what failed
        together does not come back together."""
        full = min(self.longest_delay, self.first_delay * 2 ** min(failures - 1, 30))
        return timedelta(seconds=full * (1 + chance) / 2)


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job that workers know. Jobs of one `queue` share its workers' slots. `form` is the JSON Schema of its
    payload; `check` returns a payload with its defaults filled in, or raises Invalid. `belongs_to`: what asks for such
    jobs along with itself; None: anybody may."""

    name: str
    queue: str
    purpose: str
    form: Json
    check: Callable[[Json], Json]
    priority: Priority = Priority.NORMAL
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    belongs_to: str | None = None


class Job(BaseAggregate[UUID]):
    TOPIC = "job"

    kind: str
    queue: str
    priority: Priority
    policy: RetryPolicy
    due_at: datetime
    state: JobState = field(default=JobState.WAITING, init=False)
    worker: str = field(default="", init=False)
    epoch: int = field(default=0, init=False)
    attempt: int = field(default=0, init=False)

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`schedule` names the periodic schedule that asked for it, if one did. It must not start before `due_at`."""

        TOPIC = "job.requested"
        originator_topic: str
        kind: str
        queue: str
        priority: Priority
        payload: Json
        policy: RetryPolicy
        due_at: datetime
        schedule: str | None

    class Started(Event):
        """`attempt` counts from 1 since the job was requested, or replayed."""

        TOPIC = "job.started"
        worker: str
        epoch: int
        attempt: int

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.RUNNING
            aggregate.worker = self.worker
            aggregate.epoch = self.epoch
            aggregate.attempt = self.attempt

    class Progressed(Event):
        """A sign of life, with words: the worker is still at it."""

        TOPIC = "job.progressed"
        epoch: int
        text: str

        def apply(self, aggregate: Job) -> None:
            """Changes nothing that a rule asks for."""

    class AttemptFailed(Event):
        """Also where the worker died, or gave no sign for too long. `retry_at`: None after the last attempt."""

        TOPIC = "job.attempt_failed"
        epoch: int
        attempt: int
        error: str
        retry_at: datetime | None

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.WAITING
            aggregate.due_at = self.retry_at or aggregate.due_at

    class Released(Event):
        """The worker was told to stop, and gave the job back: this attempt does not count."""

        TOPIC = "job.released"
        epoch: int

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.WAITING
            aggregate.attempt -= 1

    class Succeeded(Event):
        """Of `result` and `file` there is one."""

        TOPIC = "job.succeeded"
        epoch: int
        result: Json | None
        file: ResultFile | None

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.SUCCEEDED

    class DeadLettered(Event):
        TOPIC = "job.dead_lettered"
        reason: str

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.DEAD

    class Replayed(Event):
        """Out of the dead letters: it waits again, with all its attempts."""

        TOPIC = "job.replayed"
        due_at: datetime

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.WAITING
            aggregate.attempt = 0
            aggregate.due_at = self.due_at

    class Cancelled(Event):
        TOPIC = "job.cancelled"
        reason: str

        def apply(self, aggregate: Job) -> None:
            aggregate.state = JobState.CANCELLED

    @classmethod
    def request(
        cls,
        id: UUID,
        kind: str,
        queue: str,
        priority: Priority,
        payload: Json,
        policy: RetryPolicy,
        due_at: datetime,
        schedule: str | None,
        at: datetime,
    ) -> Self:
        """Asks for a job of a kind that workers know. Raises Invalid for a policy that cannot be followed."""
        policy.check()
        return cls._create(
            cls.Requested,
            id=id,
            kind=kind,
            queue=queue,
            priority=priority,
            payload=payload,
            policy=policy,
            due_at=due_at,
            schedule=schedule,
            timestamp=at,
        )

    @property
    def finished(self) -> bool:
        """Nobody works on it, nor will, unless it is a dead letter that somebody replays."""
        return self.state not in (JobState.WAITING, JobState.RUNNING)

    @property
    def closed(self) -> bool:
        """Finished for good."""
        return self.state in CLOSED

    def start(self, worker: str, at: datetime) -> None:
        """A worker takes the job. Raises AlreadyDone, LeaseLost (another one has it) or NotDue."""
        self._must_not_be_finished()
        if self.state is JobState.RUNNING:
            raise LeaseLost(f"worker {self.worker} has the job")
        if at < self.due_at:
            raise NotDue(f"the job rests until {self.due_at.isoformat()}")
        started = {"worker": worker, "epoch": self.epoch + 1, "attempt": self.attempt + 1}
        self.trigger_event(self.Started, **started, timestamp=at)

    def progress(self, epoch: int, text: str, at: datetime) -> None:
        """The worker is still at it. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Progressed, epoch=epoch, text=text, timestamp=at)

    def succeed(self, epoch: int, result: Json | ResultFile, at: datetime) -> None:
        """The work is done. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        kept = {"result": None, "file": result} if isinstance(result, ResultFile) else {"result": result, "file": None}
        self.trigger_event(self.Succeeded, epoch=epoch, **kept, timestamp=at)

    def fail(self, epoch: int, error: str, permanent: bool, chance: float, at: datetime) -> None:
        """The attempt failed, and the job rests before it waits again. After its last one, or where another would not
        help (`permanent`), it goes to the dead letters. `chance` from 0 to 1 spreads the rests. Raises LeaseLost,
        AlreadyDone."""
        self._must_hold(epoch)
        last = permanent or self.attempt >= self.policy.max_attempts
        retry_at = None if last else at + self.policy.delay(self.attempt, chance)
        failed = {"epoch": epoch, "attempt": self.attempt, "error": error, "retry_at": retry_at}
        self.trigger_event(self.AttemptFailed, **failed, timestamp=at)
        if last:
            why = "another attempt would not help" if permanent else f"all {self.attempt} attempts failed"
            self.trigger_event(self.DeadLettered, reason=f"{why}: {error}", timestamp=at)

    def release(self, epoch: int, at: datetime) -> None:
        """The worker ends in good order and gives the job back. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Released, epoch=epoch, timestamp=at)

    def replay(self, at: datetime) -> None:
        """Takes the job out of the dead letters. Raises AlreadyDone where it is not among them."""
        if self.state is not JobState.DEAD:
            raise AlreadyDone(f"the job is {self.state}; only dead letters can be replayed")
        self.trigger_event(self.Replayed, due_at=at, timestamp=at)

    def cancel(self, reason: str, at: datetime) -> None:
        """Ends the job, whether it has begun or not; its worker sees it and stops. Takes it out of the dead letters for
        good where it is among them. Raises AlreadyDone."""
        if self.closed:
            raise AlreadyDone(f"the job is {self.state} already")
        self.trigger_event(self.Cancelled, reason=reason, timestamp=at)

    def _must_not_be_finished(self) -> None:
        if self.finished:
            raise AlreadyDone(f"the job is {self.state} already")

    def _must_hold(self, epoch: int) -> None:
        self._must_not_be_finished()
        if epoch != self.epoch or self.state is not JobState.RUNNING:
            raise LeaseLost(f"the job is {self.state} in epoch {self.epoch}; epoch {epoch} has lost it")
