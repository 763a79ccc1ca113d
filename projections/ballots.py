"""One row a ballot: which of two answers a judge preferred, and by which method."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Column, Connection, Double, Index, Table, Text, Uuid

from domain.events import Recorded, topic_of
from domain.workflow import Workflow
from projections.paging import LIMIT, Page, every, page
from projections.projector import Projector, Row, plain
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position

TABLE = Table(
    "ballots",
    METADATA,
    Column("ballot_id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("judge", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("first", Uuid, nullable=False),
    Column("second", Uuid, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("margin", Double),
    Column("steps", Json, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    position(),
    Index("ballots_position_idx", "position", unique=True),
    Index("ballots_run_idx", "run_id", "position"),
    Index("ballots_judge_idx", "judge", "position"),
)
"""`first` and `second` are the steps that gave the answers, in the order shown; `steps` the calls behind the ballot."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The ballot that this event records. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, Workflow.BallotCast):
        return row
    ballot = event.ballot
    return {
        "ballot_id": ballot.id,
        "run_id": event.originator_id,
        "judge": ballot.judge,
        "method": ballot.method,
        "first": ballot.first,
        "second": ballot.second,
        "outcome": ballot.outcome.value,
        "margin": ballot.margin,
        "steps": plain(ballot.steps),
        "recorded_at": recorded.recorded_at,
        "correlation_id": recorded.envelope.correlation_id,
        "position": recorded.position,
    }


def _ballot_id(recorded: Recorded) -> UUID | None:
    event = recorded.event
    return event.ballot.id if isinstance(event, Workflow.BallotCast) else None


PROJECTOR = Projector(TABLE, (topic_of(Workflow.BallotCast),), _ballot_id, fold, inserts_only=True)
ROWS = marked(TABLE, TABLE.c.run_id)


def of_run(db: Connection, run_id: UUID) -> list[Row]:
    """A run's ballots, in the order in which they were cast."""
    query = ROWS.where(TABLE.c.run_id == run_id).order_by(TABLE.c.position)
    return every(db, query)


def ballots(
    db: Connection,
    judge: str | None = None,
    method: str | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """Ballots of a judge or a method (None: all), the newest first."""
    query = ROWS
    if judge is not None:
        query = query.where(TABLE.c.judge == judge)
    if method is not None:
        query = query.where(TABLE.c.method == method)
    return page(db, query, TABLE.c.position, cursor, limit)
