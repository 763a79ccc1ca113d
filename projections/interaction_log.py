"""The interaction log: one row a step, searchable by who did what with which model, adapter and tool."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    exists,
    func,
    select,
)

from domain.events import Recorded, topic_of
from domain.model_call import ModelCall
from domain.steps import ToolStep
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
    Column("attempt", Integer, nullable=False),
    Column("messages", Json, nullable=False),
    Column("output", Text, nullable=False),
    Column("tool_calls", Json, nullable=False),
    Column("model", Text),
    Column("adapter", Text),
    Column("model_revision", Text),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("latency", Double, nullable=False),
    Column("finish_reason", Text, nullable=False),
    Column("score", Double),
    Column("error", Text),
    Column("cached", Boolean, nullable=False),
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
"""`latency` in seconds, `score` in nats per token. `attempt` above 1: the step was begun again. `cached`: the answer
was given before, and no model was asked. The use of a tool has no model, messages or tokens; it is the one of its
`tool_calls`, and `output` and `error` are what came of it."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The step that this event records. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, Workflow.StepRecorded | Workflow.ToolUsed):
        return row
    step = event.step
    return {
        "step_id": step.id,
        "run_id": event.originator_id,
        "agent": step.agent,
        "phase": step.phase,
        "n": step.n,
        "attempt": step.attempt,
        **(_used(step) if isinstance(step, ToolStep) else _said(step.call)),
        "recorded_at": recorded.recorded_at,
        "correlation_id": recorded.envelope.correlation_id,
        "position": recorded.position,
    }


def _said(call: ModelCall) -> Row:
    return {
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
        "cached": call.cached,
    }


def _used(step: ToolStep) -> Row:
    return {
        "messages": [],
        "output": step.call.result,
        "tool_calls": plain((step.call,)),
        "model": None,
        "adapter": None,
        "model_revision": None,
        "input_tokens": 0,
        "output_tokens": 0,
        "latency": step.seconds,
        "finish_reason": "used" if step.call.error is None else "failed",
        "score": None,
        "error": step.call.error,
        "cached": False,
    }


def _step_id(recorded: Recorded) -> UUID | None:
    event = recorded.event
    return event.step.id if isinstance(event, Workflow.StepRecorded | Workflow.ToolUsed) else None


TOPICS = (topic_of(Workflow.StepRecorded), topic_of(Workflow.ToolUsed))
PROJECTOR = Projector(TABLE, TOPICS, _step_id, fold, inserts_only=True)
ROWS = marked(TABLE, TABLE.c.run_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which steps to list; None: all. `shared` are further ones of the run, which it has from another one; `text` is
    looked for in what messages and outputs say, whatever its case; `min_tokens` counts both ways; `until` is excluded;
    `as_of` leaves out what was recorded after that position."""

    run_id: UUID | None = None
    shared: tuple[UUID, ...] = ()
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
    """Steps, in the order in which they were recorded."""
    return page(db, matching(wanted), TABLE.c.position, cursor, limit, newest_first)


def find(db: Connection, step_id: UUID) -> Row | None:
    """One call."""
    return one(db, ROWS.where(TABLE.c.step_id == step_id))


def usage_by_agent(db: Connection, run_id: UUID | None = None) -> list[Row]:
    """Model calls, tokens and mean latency (seconds) of each agent, of one run or of all."""
    query = select(
        TABLE.c.agent,
        func.count().label("calls"),
        func.sum(TABLE.c.input_tokens).label("input_tokens"),
        func.sum(TABLE.c.output_tokens).label("output_tokens"),
        func.avg(TABLE.c.latency).label("latency"),
    )
    query = query.where(TABLE.c.model.is_not(None))
    if run_id is not None:
        query = query.where(TABLE.c.run_id == run_id)
    return every(db, query.group_by(TABLE.c.agent).order_by(TABLE.c.agent))


def matching(wanted: Filter) -> Select[Row]:
    """These calls, in no order."""
    query = ROWS
    if wanted.run_id is not None:
        query = query.where((TABLE.c.run_id == wanted.run_id) | TABLE.c.step_id.in_(wanted.shared))
    for name in ("agent", "phase", "model", "adapter"):
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
