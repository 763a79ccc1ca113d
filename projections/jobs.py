"""One row a job: what it is, where it stands, how often it was tried and what came of it.

Answers what waits, what runs, what is dead, how long the oldest one waits, and which came from a schedule.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    case,
    func,
    select,
    text,
)
from sqlalchemy.sql import ColumnElement

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.job import CLOSED, Job, JobState, Priority
from projections.paging import LIMIT, Page, every, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, in_states, position, version

SETTLED = in_states(CLOSED)

TABLE = Table(
    "jobs",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("payload", Json, nullable=False),
    Column("schedule", Text),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("timeout", Double, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("worker", Text),
    Column("progress", Text),
    Column("error", Text),
    Column("reason", Text),
    Column("result", Json),
    Column("result_file", Json),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("heard_at", Moment),
    Column("finished_at", Moment),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("jobs_requested_idx", "requested_position", unique=True),
    Index("jobs_state_idx", "state", "queue", "requested_position"),
    Index("jobs_closed_idx", "position", postgresql_where=text(SETTLED)),
    Index("jobs_kind_idx", "kind", "requested_position"),
    Index("jobs_schedule_idx", "schedule", "requested_position"),
)
"""`attempt` counts since the job was requested or replayed, `failures` all that ever failed. `due_at`: not before then.
`heard_at` is the last sign of the attempt under way, `timeout` how many seconds it may be silent. `error` is the last
attempt's, `reason` says why the job is dead or was cancelled. `started_at` is when it was first started."""

SERVED = case({each.value: rank for rank, each in enumerate(Priority)}, value=TABLE.c.priority)
"""The higher priority first."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The job after this event."""
    event = recorded.event
    if isinstance(event, Job.Requested):
        return _requested(event, recorded)
    return row and row | _change(row, recorded) | stamp(recorded)


def _requested(event: Job.Requested, recorded: Recorded) -> Row:
    return dict.fromkeys(TABLE.columns.keys()) | {
        "job_id": event.originator_id,
        "kind": event.kind,
        "queue": event.queue,
        "priority": event.priority.value,
        "state": JobState.WAITING.value,
        "payload": plain(event.payload),
        "schedule": event.schedule,
        "attempt": 0,
        "max_attempts": event.policy.max_attempts,
        "failures": 0,
        "timeout": event.policy.timeout,
        "epoch": 0,
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        "due_at": event.due_at,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(row: Row, recorded: Recorded) -> Row:
    at = recorded.recorded_at
    match recorded.event:
        case Job.Started(worker=worker, epoch=epoch, attempt=attempt):
            started = {"worker": worker, "epoch": epoch, "attempt": attempt, "progress": None, "heard_at": at}
            return started | {"state": JobState.RUNNING.value, "started_at": row["started_at"] or at}
        case Job.Progressed(text=text):
            return {"progress": text or row["progress"], "heard_at": at}
        case Job.AttemptFailed(error=error, retry_at=retry_at):
            due_at = retry_at or row["due_at"]
            return _waiting() | {"error": error, "failures": row["failures"] + 1, "due_at": due_at}
        case Job.Released():
            return _waiting() | {"attempt": row["attempt"] - 1}
        case Job.Succeeded(result=result, file=file):
            return _over(JobState.SUCCEEDED, at) | {"result": plain(result), "result_file": plain(file)}
        case Job.DeadLettered(reason=reason):
            return _over(JobState.DEAD, at) | {"reason": reason}
        case Job.Replayed(due_at=due_at):
            return _waiting() | {"attempt": 0, "due_at": due_at, "reason": None, "finished_at": None}
        case Job.Cancelled(reason=reason):
            return _over(JobState.CANCELLED, at) | {"reason": reason}
        case _:
            return {}


def _waiting() -> Row:
    return {"state": JobState.WAITING.value, "worker": None, "heard_at": None}


def _over(state: JobState, at: datetime) -> Row:
    return {"state": state.value, "heard_at": None, "finished_at": at}


PROJECTOR = Projector(TABLE, topics_of(Job), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.job_id)


def find(db: Connection, job_id: UUID) -> Row | None:
    """One job."""
    return one(db, ROWS.where(TABLE.c.job_id == job_id))


def jobs(
    db: Connection,
    state: JobState | None = None,
    queue: str | None = None,
    kind: str | None = None,
    priority: Priority | None = None,
    schedule: str | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """Jobs in a state, of a queue, kind, priority and schedule (None: all), the newest first."""
    query = ROWS
    wanted = {"state": state, "queue": queue, "kind": kind, "priority": priority, "schedule": schedule}
    for name, value in wanted.items():
        if value is not None:
            query = query.where(TABLE.c[name] == value)
    return page(db, query, TABLE.c.requested_position, cursor, limit)


def queues(db: Connection, at: datetime, *which: ColumnElement[bool]) -> list[Row]:
    """How each queue stands that ever had such a job: what waits and is due (`depth`), what rests until later
    (`resting`), what runs, what is dead, how many attempts ever failed, and for how many seconds the oldest of those
    that are due has been."""
    job, waiting = TABLE.c, TABLE.c.state == JobState.WAITING.value
    due = waiting & (job.due_at <= at)

    def count(condition: Any) -> Any:
        return func.count().filter(condition)

    query = select(
        job.queue,
        count(due).label("depth"),
        count(waiting & (job.due_at > at)).label("resting"),
        count(job.state == JobState.RUNNING.value).label("running"),
        count(job.state == JobState.DEAD.value).label("dead"),
        func.coalesce(func.sum(job.failures), 0).label("failures"),
        func.min(job.due_at).filter(due).label("oldest_due_at"),
    )
    found = every(db, query.where(*which).group_by(job.queue).order_by(job.queue))
    return [row | {"oldest_seconds": _seconds(row.pop("oldest_due_at"), at)} for row in found]


def latest(db: Connection, schedule: str) -> Row | None:
    """The newest job that the schedule asked for."""
    query = ROWS.where(TABLE.c.schedule == schedule).order_by(TABLE.c.requested_position.desc()).limit(1)
    return one(db, query)


def last_result(db: Connection, kind: str) -> Row | None:
    """What the newest job of that kind that succeeded came to."""
    done = (TABLE.c.kind == kind, TABLE.c.state == JobState.SUCCEEDED.value)
    query = select(TABLE.c.result).where(*done).order_by(TABLE.c.requested_position.desc()).limit(1)
    return db.execute(query).scalar()


def _seconds(since: datetime | None, at: datetime) -> float:
    return max(0.0, (at - since).total_seconds()) if since else 0.0
