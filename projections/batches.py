"""One row a batch: what was asked, and how far it is. How its runs stand is counted from their own rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Select, Table, Text, Uuid, cast, func, select

from domain.batch import OPEN, Batch, BatchState
from domain.catalogue import topics_of
from domain.events import Recorded
from domain.workflow import State
from projections import batch_runs, workflow_runs
from projections.paging import LIMIT, Page, every, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version

TABLE = Table(
    "batches",
    METADATA,
    Column("batch_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("agents", Json, nullable=False),
    Column("roster_revision", Integer, nullable=False),
    Column("max_tokens", Integer),
    Column("limits", Json, nullable=False),
    Column("at_once", Integer),
    Column("state", Text, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("requested", Integer, nullable=False),
    Column("reason", Text),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("finished_at", Moment),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("batches_requested_idx", "requested_position", unique=True),
    Index("batches_state_idx", "state", "requested_position"),
)
"""`tasks` is how many it has, `requested` for how many of them a run was asked for; no more than `at_once` of these are
unfinished. `finished_at`: completed or stopped."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The batch after this event."""
    event = recorded.event
    if isinstance(event, Batch.Requested):
        return _requested(event, recorded)
    return row and row | _change(row, recorded) | stamp(recorded)


def _requested(event: Batch.Requested, recorded: Recorded) -> Row:
    return {
        "batch_id": event.originator_id,
        "name": event.name,
        "kind": event.kind,
        "agents": plain(event.agents),
        "roster_revision": event.roster_revision,
        "max_tokens": event.max_tokens,
        "limits": plain(event.limits),
        "at_once": event.at_once,
        "state": BatchState.RUNNING.value,
        "tasks": len(event.tasks),
        "requested": 0,
        "reason": None,
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        "finished_at": None,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(row: Row, recorded: Recorded) -> Row:
    at, running = recorded.recorded_at, BatchState.RUNNING.value
    match recorded.event:
        case Batch.RunRequested(task=task):
            return {"requested": task + 1}
        case Batch.Paused(reason=reason):
            return {"state": BatchState.PAUSED.value, "reason": reason}
        case Batch.Resumed():
            return {"state": running, "reason": None}
        case Batch.Retried() | Batch.RunRetried() if row["state"] == BatchState.COMPLETED.value:
            return {"state": running, "finished_at": None, "reason": None}
        case Batch.Stopped(reason=reason):
            return {"state": BatchState.STOPPED.value, "reason": reason, "finished_at": at}
        case Batch.Completed():
            return {"state": BatchState.COMPLETED.value, "reason": None, "finished_at": at}
        case _:
            return {}


PROJECTOR = Projector(TABLE, topics_of(Batch), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.batch_id)

COUNTED = tuple(state.value for state in State if state is not State.REQUESTED)
"""States of runs, by which a batch's tasks are counted; what is in none of them waits."""
SUMMED = ("steps", "input_tokens", "output_tokens")
"""Of all its runs."""


def find(db: Connection, batch_id: UUID) -> Row | None:
    """One batch, with how its runs stand."""
    row = one(db, ROWS.where(TABLE.c.batch_id == batch_id))
    return row and _with_progress(db, [row])[0]


def batches(db: Connection, state: BatchState | None = None, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """Batches, the newest first, with how their runs stand."""
    query = ROWS if state is None else ROWS.where(TABLE.c.state == state.value)
    found = page(db, query, TABLE.c.requested_position, cursor, limit)
    return Page(_with_progress(db, found.items), found.next_cursor)


def unfinished(db: Connection) -> tuple[int, int]:
    """How many batches are not over, and how many of their tasks no run was asked for yet."""
    waiting = func.coalesce(func.sum(TABLE.c.tasks - TABLE.c.requested), 0)
    count, tasks = db.execute(
        select(func.count(), waiting).where(TABLE.c.state.in_([state.value for state in OPEN]))
    ).one()
    return int(count), int(tasks)


def _with_progress(db: Connection, rows: Sequence[Row]) -> list[Row]:
    found = {row.pop("batch_id"): row for row in every(db, _progress([row["batch_id"] for row in rows]))}
    nothing = dict.fromkeys([*COUNTED, *SUMMED], 0) | {"started_at": None}
    counted = [row | nothing | found.get(row["batch_id"], {}) for row in rows]
    return [row | {"waiting": row["tasks"] - sum(row[state] for state in COUNTED)} for row in counted]


def _progress(ids: Sequence[UUID]) -> Select[Any]:
    run, its = workflow_runs.TABLE.c, batch_runs.TABLE.c
    states = [func.count().filter(run.state == state).label(state) for state in COUNTED]
    sums = [cast(func.sum(run[name]), BigInteger).label(name) for name in SUMMED]
    query = select(its.batch_id, *states, *sums, func.min(run.started_at).label("started_at"))
    query = query.join_from(batch_runs.TABLE, workflow_runs.TABLE, run.run_id == its.run_id)
    return query.where(its.batch_id.in_(ids)).group_by(its.batch_id)
