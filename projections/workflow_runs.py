"""One row a workflow run: what was asked, who works on it, how far it is and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.sql import ColumnElement

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.limits import Limit
from domain.ranking import Outcome
from domain.workflow import CLOSED, State, Workflow
from projections.batch_runs import runs_of
from projections.failure_kinds import failure_kind
from projections.paging import LIMIT, Page, one, page, tally
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, in_states, position, version

SETTLED = in_states(sorted(CLOSED))

TABLE = Table(
    "workflow_runs",
    METADATA,
    Column("run_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("batch", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("max_tokens", Integer),
    Column("limits", Json, nullable=False),
    Column("forked_from", Uuid),
    Column("forked_at", Uuid),
    Column("shared", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("agents", Json, nullable=False),
    Column("roster_revision", Integer, nullable=False),
    Column("cast", Json, nullable=False),
    Column("worker", Text),
    Column("epoch", Integer, nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("failures", Json, nullable=False),
    Column("waiting_since", Moment),
    Column("steps", Integer, nullable=False),
    Column("repeated", Integer, nullable=False),
    Column("ballots", Integer, nullable=False),
    Column("unparseable", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("workflow_runs_requested_idx", "requested_position", unique=True),
    Index("workflow_runs_state_idx", "state", "requested_position"),
    Index("workflow_runs_closed_idx", "position", postgresql_where=text(SETTLED)),
    Index("workflow_runs_batch_idx", "batch", "requested_position"),
    Index("workflow_runs_revision_idx", "roster_revision", "requested_position"),
    Index(
        "workflow_runs_fork_idx", "forked_from", "requested_position", postgresql_where=text("forked_from IS NOT NULL")
    ),
    Index("workflow_runs_agents_idx", "agents", postgresql_using="gin"),
    Index("workflow_runs_cast_idx", "cast", postgresql_using="gin", postgresql_ops={"cast": "jsonb_path_ops"}),
)
"""`task` is the task's first turn, `turns` how many it has. `started_at` is when the first worker took the run.
`forked_from` is the run that a fork was taken from, `forked_at` the last step that both have, and `shared` are the
ids of all that it shares; they are not among its `steps`. `repeated` counts the calls that were begun again, as
the one before was not recorded. `worker` is who has the run or had it last, none once it was let go;
`takeovers` counts how often another one took it from a worker that was gone. `failures` counts how often it fell
short, by kind, over retries; `waiting_since` is when it last came to wait for a worker."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The run after this event."""
    event = recorded.event
    if isinstance(event, Workflow.Requested):
        return _requested(event, recorded)
    return row and row | _change(row, recorded) | stamp(recorded)


def _requested(event: Workflow.Requested, recorded: Recorded) -> Row:
    return {
        "run_id": event.originator_id,
        "kind": event.kind,
        "batch": event.batch,
        "task": event.task.turns[0],
        "ref": event.task.ref,
        "category": event.task.category,
        "turns": len(event.task.turns),
        "max_tokens": event.max_tokens,
        "limits": plain(event.limits),
        "forked_from": event.fork.run if event.fork else None,
        "forked_at": event.fork.step if event.fork else None,
        "shared": plain(event.fork.shared) if event.fork else [],
        "state": State.REQUESTED.value,
        "agents": plain(event.agents),
        "roster_revision": event.roster_revision,
        "cast": [],
        "worker": None,
        "epoch": 0,
        "takeovers": 0,
        "failures": {},
        "waiting_since": recorded.recorded_at,
        "steps": 0,
        "repeated": 0,
        "ballots": 0,
        "unparseable": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        "started_at": None,
        "finished_at": None,
        "reason": None,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(row: Row, recorded: Recorded) -> Row:
    match recorded.event:
        case Workflow.Started(worker=worker, epoch=epoch, cast=cast):
            started_at = row["started_at"] or recorded.recorded_at
            state = State.RUNNING.value
            taken = {"state": state, "worker": worker, "epoch": epoch, "cast": plain(cast), "started_at": started_at}
            return taken | {"takeovers": row["takeovers"] + (row["worker"] is not None), "waiting_since": None}
        case Workflow.StepRecorded(step=step):
            usage = step.call.usage
            return {
                "steps": row["steps"] + 1,
                "input_tokens": row["input_tokens"] + usage.input_tokens,
                "output_tokens": row["output_tokens"] + usage.output_tokens,
            }
        case Workflow.ToolUsed():
            return {"steps": row["steps"] + 1}
        case Workflow.BallotCast(ballot=ballot):
            unparseable = row["unparseable"] + (ballot.outcome is Outcome.UNPARSEABLE)
            return {"ballots": row["ballots"] + 1, "unparseable": unparseable}
        case Workflow.StepBegun(attempt=attempt):
            return {"repeated": row["repeated"] + (attempt > 1)}
        case Workflow.Paused(reason=reason):
            return {"state": State.PAUSED.value, "reason": reason}
        case Workflow.Resumed():
            state = State.RUNNING if row["worker"] else State.REQUESTED
            return {"state": state.value, "reason": None, "waiting_since": recorded.recorded_at}
        case Workflow.Released():
            state = State.REQUESTED.value if row["state"] == State.RUNNING.value else row["state"]
            return {"state": state, "worker": None, "waiting_since": recorded.recorded_at}
        case Workflow.Retried(limits=limits):
            again = {"state": State.REQUESTED.value, "worker": None, "finished_at": None, "reason": None}
            return again | {"limits": plain(limits), "waiting_since": recorded.recorded_at}
        case Workflow.Completed():
            return {"state": State.COMPLETED.value, "finished_at": recorded.recorded_at}
        case Workflow.Failed(reason=reason):
            return _fell_short(row, recorded, State.FAILED, reason, failure_kind(reason))
        case Workflow.TimedOut(limit=limit, allowed=allowed):
            what = "a step" if limit is Limit.STEP_SECONDS else "the run"
            reason = f"{what} took longer than its limit of {allowed:g} s"
            return _fell_short(row, recorded, State.TIMED_OUT, reason, State.TIMED_OUT.value)
        case Workflow.Exhausted(limit=limit, allowed=allowed, used=used):
            reason = f"the run's {limit} are used up: {used} of {allowed}"
            return _fell_short(row, recorded, State.EXHAUSTED, reason, State.EXHAUSTED.value)
        case Workflow.Stopped(reason=reason):
            return {"state": State.STOPPED.value, "finished_at": recorded.recorded_at, "reason": reason}
        case _:
            return {}


def _fell_short(row: Row, recorded: Recorded, state: State, reason: str, kind: str) -> Row:
    failures = row["failures"] | {kind: row["failures"].get(kind, 0) + 1}
    return {"state": state.value, "finished_at": recorded.recorded_at, "reason": reason, "failures": failures}


PROJECTOR = Projector(TABLE, topics_of(Workflow), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.run_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs to list; None: all. `batch` is a name, or the id of a batch; some agent ran on `adapter`. `since` and
    `until` (excluded) bound the time of the request."""

    state: State | None = None
    kind: str | None = None
    batch: str | None = None
    agent: str | None = None
    adapter: str | None = None
    forked_from: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


def find(db: Connection, run_id: UUID) -> Row | None:
    """One run."""
    return one(db, ROWS.where(TABLE.c.run_id == run_id))


def runs(db: Connection, wanted: Filter = Filter(), cursor: str | None = None, limit: int = LIMIT) -> Page:
    """Runs, the newest first."""
    return page(db, _matching(wanted), TABLE.c.requested_position, cursor, limit)


def count(db: Connection, wanted: Filter) -> int:
    """How many runs these are."""
    return db.scalar(select(func.count()).select_from(_matching(wanted).subquery())) or 0


def counts(db: Connection, batch: str | None = None) -> dict[str, int]:
    """How many runs are in each state, of a batch or of all."""
    found = tally(db, TABLE.c.state, *([] if batch is None else [TABLE.c.batch == batch]))
    return {state.value: found.get(state.value, 0) for state in State}


def _matching(wanted: Filter) -> Select[Row]:
    query = ROWS
    if wanted.state is not None:
        query = query.where(TABLE.c.state == wanted.state.value)
    if wanted.kind is not None:
        query = query.where(TABLE.c.kind == wanted.kind)
    if wanted.batch is not None:
        query = query.where(_of_batch(wanted.batch))
    if wanted.agent is not None:
        query = query.where(TABLE.c.agents.contains([wanted.agent]))
    if wanted.adapter is not None:
        query = query.where(TABLE.c.cast.contains([{"adapter": wanted.adapter}]))
    if wanted.forked_from is not None:
        query = query.where(TABLE.c.forked_from == wanted.forked_from)
    if wanted.since is not None:
        query = query.where(TABLE.c.requested_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(TABLE.c.requested_at < wanted.until)
    return query


def _of_batch(batch: str) -> ColumnElement[bool]:
    named = TABLE.c.batch == batch
    try:
        by_id = runs_of(UUID(batch))
    except ValueError:
        return named
    # With OR instead of UNION, PostgreSQL would look at every run there is.
    return TABLE.c.run_id.in_(select(TABLE.c.run_id).where(named).union(by_id))
