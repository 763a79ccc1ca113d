"""The interaction log: one row a model call, searchable by who did what with which model, adapter and tool."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Connection, Double, Index, Integer, Select, Table, Text, Uuid, exists, func, select

from domain.events import Recorded, topic_of
from domain.workflow import Workflow
from projections.paging import LIMIT, Page, every, one, page
from projections.projector import Projector, Row, plain
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position

TABLE = Table(
    "interaction_logs",
    METADATA,
    Column("step_id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("agent", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("messages", Json, nullable=False),
    Column("output", Text, nullable=False),
    Column("tool_calls", Json, nullable=False),
    Column("model", Text, nullable=False),
    Column("adapter", Text),
    Column("model_revision", Text),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("latency", Double, nullable=False),
    Column("finish_reason", Text, nullable=False),
    Column("score", Double),
    Column("error", Text),
    Column("recorded_at", Moment, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    position(),
    Index("interaction_logs_position_idx", "position", unique=True),
    Index("interaction_logs_run_idx", "run_id", "position"),
    Index("interaction_logs_agent_idx", "agent", "position"),
    Index("interaction_logs_adapter_idx", "adapter", "position"),
    Index("interaction_logs_recorded_idx", "recorded_at"),
    Index(
        "interaction_logs_tools_idx",
        "tool_calls",
        postgresql_using="gin",
        postgresql_ops={"tool_calls": "jsonb_path_ops"},
    ),
)
"""`latency` in seconds, `score` in nats per token."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The call that this event records. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, Workflow.StepRecorded):
        return row
    step, call = event.step, event.step.call
    return {
        "step_id": step.id,
        "run_id": event.originator_id,
        "agent": step.agent,
        "phase": step.phase,
        "n": step.n,
        "messages": plain(call.messages),
        "output": call.output,
        "tool_calls": plain(call.tool_calls) if call.tool_calls else [],  # as with most calls, and asked of every one
        "model": call.model,
        "adapter": call.adapter,
        "model_revision": call.model_revision,
        "input_tokens": call.usage.input_tokens,
        "output_tokens": call.usage.output_tokens,
        "latency": call.latency,
        "finish_reason": call.finish_reason,
        "score": call.score,
        "error": call.error,
        "recorded_at": recorded.recorded_at,
        "correlation_id": recorded.envelope.correlation_id,
        "position": recorded.position,
    }


def _step_id(recorded: Recorded) -> UUID | None:
    event = recorded.event
    return event.step.id if isinstance(event, Workflow.StepRecorded) else None


PROJECTOR = Projector(TABLE, (topic_of(Workflow.StepRecorded),), _step_id, fold, inserts_only=True)
ROWS = marked(TABLE, TABLE.c.run_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls to list; None: all. `text` is looked for in what messages and outputs say, whatever its case;
    `min_tokens` counts both ways; `until` is excluded; `as_of` leaves out what was recorded after that position."""

    run_id: UUID | None = None
    agent: str | None = None
    phase: str | None = None
    tool: str | None = None
    model: str | None = None
    adapter: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_tokens: int | None = None
    as_of: int | None = None


def calls(
    db: Connection,
    wanted: Filter = Filter(),
    cursor: str | None = None,
    limit: int = LIMIT,
    newest_first: bool = True,
) -> Page:
    """Model calls, in the order in which they were recorded."""
    return page(db, _matching(wanted), TABLE.c.position, cursor, limit, newest_first)


def find(db: Connection, step_id: UUID) -> Row | None:
    """One call."""
    return one(db, ROWS.where(TABLE.c.step_id == step_id))


def usage_by_agent(db: Connection, run_id: UUID | None = None) -> list[Row]:
    """Calls, tokens and mean latency (seconds) of each agent, of one run or of all."""
    query = select(
        TABLE.c.agent,
        func.count().label("calls"),
        func.sum(TABLE.c.input_tokens).label("input_tokens"),
        func.sum(TABLE.c.output_tokens).label("output_tokens"),
        func.avg(TABLE.c.latency).label("latency"),
    )
    if run_id is not None:
        query = query.where(TABLE.c.run_id == run_id)
    return every(db, query.group_by(TABLE.c.agent).order_by(TABLE.c.agent))


def _matching(wanted: Filter) -> Select[Row]:
    query = ROWS
    for name in ("run_id", "agent", "phase", "model", "adapter"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(TABLE.c[name] == value)
    if wanted.tool is not None:
        query = query.where(TABLE.c.tool_calls.contains([{"name": wanted.tool}]))
    if wanted.text:
        message = func.jsonb_array_elements(TABLE.c.messages, type_=Json).column_valued("message")
        said = message["content"].astext.icontains(wanted.text, autoescape=True)
        query = query.where(TABLE.c.output.icontains(wanted.text, autoescape=True) | exists().where(said))
    if wanted.since is not None:
        query = query.where(TABLE.c.recorded_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(TABLE.c.recorded_at < wanted.until)
    if wanted.min_tokens is not None:
        query = query.where(TABLE.c.input_tokens + TABLE.c.output_tokens >= wanted.min_tokens)
    if wanted.as_of is not None:
        query = query.where(TABLE.c.position <= wanted.as_of)
    return query
