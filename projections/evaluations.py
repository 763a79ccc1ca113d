"""One row an evaluation: what is compared, on what, and the figures that came out."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Table, Text, Uuid

from domain.catalogue import topics_of
from domain.evaluation import Evaluation, EvaluationState
from domain.events import Recorded
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version

TABLE = Table(
    "evaluations",
    METADATA,
    Column("evaluation_id", Uuid, primary_key=True),
    Column("job_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("against", Text, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("dataset_id", Uuid, nullable=False),
    Column("part", Text, nullable=False),
    Column("roster_revision", Integer),
    Column("judges", Json, nullable=False),
    Column("plan", Json, nullable=False),
    Column("figures", Json),
    Column("items_file", Json),
    Column("reason", Text),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("finished_at", Moment),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("evaluations_requested_idx", "requested_position", unique=True),
    Index("evaluations_adapter_idx", "adapter", "requested_position"),
)
"""`against` is an adapter, or `base`; `items_file` holds what was scored and judged. How far it is, `job_id` knows."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The evaluation after this event."""
    event = recorded.event
    if isinstance(event, Evaluation.Requested):
        return _requested(event, recorded)
    return row and row | _change(recorded) | stamp(recorded)


def _requested(event: Evaluation.Requested, recorded: Recorded) -> Row:
    subject = plain(event.subject)
    return dict.fromkeys(TABLE.columns.keys()) | {
        **subject,
        "dataset_id": event.subject.dataset_id,
        "evaluation_id": event.originator_id,
        "job_id": event.job,
        "state": EvaluationState.REQUESTED.value,
        "plan": plain(event.plan),
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(recorded: Recorded) -> Row:
    over = {"finished_at": recorded.recorded_at}
    match recorded.event:
        case Evaluation.Completed(figures=figures, items=items):
            state = EvaluationState.COMPLETED.value
            return over | {"state": state, "figures": plain(figures), "items_file": plain(items), "reason": None}
        case Evaluation.Failed(reason=reason):
            return over | {"state": EvaluationState.FAILED.value, "reason": reason}
        case Evaluation.Cancelled(reason=reason):
            return over | {"state": EvaluationState.CANCELLED.value, "reason": reason}
        case _:
            return {}


PROJECTOR = Projector(TABLE, topics_of(Evaluation), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.evaluation_id)


def find(db: Connection, evaluation_id: UUID) -> Row | None:
    """One evaluation."""
    return one(db, ROWS.where(TABLE.c.evaluation_id == evaluation_id))


def evaluations(
    db: Connection,
    adapter: str | None = None,
    state: EvaluationState | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """Evaluations of an adapter or in a state (None: all), the newest first."""
    query = ROWS
    if adapter is not None:
        query = query.where(TABLE.c.adapter == adapter)
    if state is not None:
        query = query.where(TABLE.c.state == state.value)
    return page(db, query, TABLE.c.requested_position, cursor, limit)
