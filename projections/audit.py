"""The audit: one row an event, by everything that it is asked for.

Answers what was done by whom, in which run and on whose behalf, with which tool, model, adapter and prompt. What an
event causes, and what caused it, is in projections.causation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from eventsourcing.domain import AggregateEvent
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Select,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from domain.catalogue import EVENT_TYPES
from domain.evaluation import Evaluation
from domain.events import ActorKind, Recorded
from domain.lora_adapter import LoraAdapter
from domain.training import TrainingRun
from domain.workflow import Workflow
from projections import agent_rosters, dpo_annotations, workflow_runs
from projections.paging import LIMIT, every
from projections.projector import Projector, Row
from projections.tables import METADATA, Moment

TABLE = Table(
    "audit",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    Column("causation_id", Uuid),
    Column("command_id", Uuid),
    Column("agent", Text),
    Column("tools", ARRAY(Text)),
    Column("model", Text),
    Column("adapter", Text),
    Index("audit_event_idx", "event_id", unique=True),
    Index("audit_causation_idx", "causation_id"),
    Index("audit_correlation_idx", "correlation_id", "position"),
    Index("audit_aggregate_idx", "aggregate_id", "position"),
    Index("audit_type_idx", "type", "position"),
    Index("audit_actor_idx", "actor", "position"),
    Index("audit_kind_idx", "actor_kind", "position", postgresql_where=text("actor_kind <> 'agent'")),
    Index("audit_agent_idx", "agent", "position", postgresql_where=text("agent IS NOT NULL")),
    Index("audit_tools_idx", "tools", postgresql_using="gin", postgresql_where=text("tools IS NOT NULL")),
    Index(
        "audit_agent_tools_idx",
        *("agent", "position"),
        postgresql_include=["tools"],
        postgresql_where=text("tools IS NOT NULL"),
    ),
    Index("audit_model_idx", "model", "position", postgresql_where=text("model IS NOT NULL")),
    Index("audit_adapter_idx", "adapter", "position", postgresql_where=text("adapter IS NOT NULL")),
)
"""`agent` is whose work the event records, `adapter` the one that it used or is about, `tools` the different ones that
were asked for or used, None for none. Most events are an agent's own: an index on that kind would help nobody."""

CLOCK_STEP = timedelta(minutes=10)
"""By how much the database's clock may ever have been set back without an event being missed by its time."""


def fold(_row: Row | None, recorded: Recorded) -> Row:
    """The event, for good."""
    event, envelope = recorded.event, recorded.envelope
    return {
        "position": recorded.position,
        "event_id": recorded.event_id,
        "type": recorded.type,
        "aggregate_id": event.originator_id,
        "recorded_at": recorded.recorded_at,
        "actor": envelope.actor.subject,
        "actor_kind": envelope.actor.kind.value,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "command_id": envelope.command_id,
        "agent": None,
        "tools": None,
        "model": None,
        "adapter": None,
        **_said(event),
    }


def _said(event: AggregateEvent) -> Row:
    """What the event's data says of agents, tools, models and adapters."""
    match event:
        case Workflow.StepRecorded(step=step):
            call = step.call
            tools = sorted({used.name for used in call.tool_calls})
            return {"agent": step.agent, "tools": tools or None, "model": call.model, "adapter": call.adapter}
        case Workflow.ToolUsed(step=used_by):
            return {"agent": used_by.agent, "tools": [used_by.call.name]}
        case Workflow.StepBegun(agent=agent):
            return {"agent": agent}
        case Workflow.BallotCast(ballot=ballot):
            return {"agent": ballot.judge}
        case TrainingRun.Requested(base_model=model):
            return {"model": model}
        case TrainingRun.Started(adapter_name=adapter):
            return {"adapter": adapter}
        case TrainingRun.Completed(adapter=trained):
            return {"model": trained.base_model, "adapter": trained.name}
        case LoraAdapter.Registered(name=adapter, passport=passport):
            return {"model": passport.base_model, "adapter": adapter}
        case LoraAdapter.Reserved() | LoraAdapter.Promoted() | LoraAdapter.RolledBack() | LoraAdapter.Retired():
            return {"adapter": event.name}
        case Evaluation.Requested(subject=subject):
            return {"model": subject.base_model, "adapter": subject.adapter}
        case _:
            return {}


def _position(recorded: Recorded) -> int:
    return recorded.position


PROJECTOR = Projector(TABLE, tuple(EVENT_TYPES), _position, fold, inserts_only=True)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to find; None: all. `revision` is that of agents.yaml to which an event's run was pinned; `run` also
    finds what happened to the pairs that were proposed from that run; `until` is excluded."""

    types: tuple[str, ...] = ()
    aggregate: UUID | None = None
    agent: str | None = None
    tool: str | None = None
    model: str | None = None
    adapter: str | None = None
    revision: int | None = None
    actor: str | None = None
    actor_kind: ActorKind | None = None
    run: UUID | None = None
    correlation: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Filter()


def needed_for(wanted: Filter) -> list[Projector]:
    """The read models that say which events these are."""
    needed = [PROJECTOR]
    if wanted.run is not None:
        needed.append(dpo_annotations.PROJECTOR)
    if wanted.revision is not None:
        needed.append(workflow_runs.PROJECTOR)
    return needed


def positions(
    db: Connection,
    wanted: Filter,
    after: int = 0,
    upto: int | None = None,
    limit: int = LIMIT,
    newest_first: bool = False,
) -> Sequence[int]:
    """The first (or last) `limit` events with after < position <= upto that are wanted, in order."""
    order = TABLE.c.position.desc() if newest_first else TABLE.c.position
    planned_for_these_values(db)
    return db.scalars(_matching(db, wanted, after, upto).order_by(order).limit(limit)).all()


def position_of(db: Connection, event_id: UUID) -> int | None:
    """Where that event is in the log."""
    return db.scalar(select(TABLE.c.position).where(TABLE.c.event_id == event_id))


def knows(db: Connection, position: int) -> bool:
    """Whether that event was taken in."""
    return db.scalar(select(TABLE.c.position).where(TABLE.c.position == position)) is not None


def circumstances(db: Connection, positions: Collection[int]) -> dict[int, Row]:
    """By position, of each of these events: agent, tools, model and adapter; of a run's event the revision of
    agents.yaml that the run was pinned to, and of an agent's the one that last changed its prompt."""
    runs = workflow_runs.TABLE
    query = (
        select(*TABLE.c["position", "agent", "tools", "model", "adapter"], runs.c.roster_revision)
        .outerjoin_from(TABLE, runs, runs.c.run_id == TABLE.c.aggregate_id)
        .where(TABLE.c.position.in_(positions))
    )
    found = every(db, query)
    changes = agent_rosters.prompt_changes(db) if any(row["agent"] for row in found) else {}
    return {row["position"]: row | {"prompt_revision": _prompt_revision(row, changes)} for row in found}


def planned_for_these_values(db: Connection) -> None:
    """From here to the transaction's end, queries are planned for their values: a rare one and a common one want
    different plans, where a plan for any value would suit neither."""
    db.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def _prompt_revision(row: Row, changes: agent_rosters.PromptChanges) -> int | None:
    known = changes.get(row["agent"], [])
    pinned = row["roster_revision"]
    earlier = bisect_right(known, pinned) if pinned is not None else 0
    return known[earlier - 1] if earlier else None


def _matching(db: Connection, wanted: Filter, after: int, upto: int | None) -> Select[int]:
    event = TABLE.c
    query = select(event.position).where(event.position > after)
    if upto is not None:
        query = query.where(event.position <= upto)
    for column, value in (
        (event.aggregate_id, wanted.aggregate),
        (event.agent, wanted.agent),
        (event.model, wanted.model),
        (event.adapter, wanted.adapter),
        (event.actor, wanted.actor),
        (event.actor_kind, wanted.actor_kind and wanted.actor_kind.value),
        (event.correlation_id, wanted.correlation),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.types:
        query = query.where(event.type.in_(wanted.types))
    if wanted.tool is not None:
        query = query.where(event.tools.contains([wanted.tool]))
    if wanted.run is not None:
        query = _of_run(db, query, wanted.run)
    if wanted.revision is not None:
        query = _of_revision(db, query, wanted.revision)
    return _between(db, query, wanted.since, wanted.until)


def _of_run(db: Connection, query: Select[int], run: UUID) -> Select[int]:
    pairs = dpo_annotations.TABLE.c
    proposed = db.scalars(select(pairs.preference_id).where(pairs.run_id == run))
    return query.where(TABLE.c.aggregate_id.in_([run, *proposed]))


def _of_revision(db: Connection, query: Select[int], revision: int) -> Select[int]:
    """Where its runs begin and end in the log, spares searching all of it."""
    runs = workflow_runs.TABLE.c
    pinned = runs.roster_revision == revision
    first, last = db.execute(select(func.min(runs.requested_position), func.max(runs.position)).where(pinned)).one()
    return query.where(
        TABLE.c.position.between(first or 0, last or 0), TABLE.c.aggregate_id.in_(select(runs.run_id).where(pinned))
    )


def _between(db: Connection, query: Select[int], since: datetime | None, until: datetime | None) -> Select[int]:
    """By time, and by the positions of about that time: these every index is ordered by."""
    if since is not None:
        query = query.where(TABLE.c.recorded_at >= since, TABLE.c.position > _last_before(db, since, CLOCK_STEP))
    if until is not None:
        query = query.where(TABLE.c.recorded_at < until, TABLE.c.position <= _last_before(db, until, -CLOCK_STEP))
    return query


def _last_before(db: Connection, moment: datetime, clock_step: timedelta) -> int:
    """The last position before that moment by a clock set forward by `clock_step`, found by halving: commits are in the
    order of the database's clock, as long as nobody sets it back."""

    def recorded_after(position: int) -> datetime:
        following = select(TABLE.c.recorded_at).where(TABLE.c.position > position)
        found: datetime = db.execute(following.order_by(TABLE.c.position).limit(1)).scalar_one()
        return found + clock_step

    head = db.scalar(select(func.max(TABLE.c.position))) or 0
    return bisect_left(range(head), moment, key=recorded_after)
