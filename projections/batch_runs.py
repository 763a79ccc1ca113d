"""One row for each run that a batch asked for: whose it is. How it stands is in its own row among all runs."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from sqlalchemy import Column, Connection, Index, Integer, Select, Table, Uuid, select

from domain.batch import Batch
from domain.events import Recorded, topic_of
from projections.projector import Projector, Row
from projections.tables import METADATA, position

TABLE = Table(
    "batch_runs",
    METADATA,
    Column("run_id", Uuid, primary_key=True),
    Column("batch_id", Uuid, nullable=False),
    Column("task", Integer, nullable=False),
    position(),
    Index("batch_runs_batch_idx", "batch_id", "task", unique=True),
)
"""`task` is the number of the run's task in its batch, from 0 on."""


def fold(_row: Row | None, recorded: Recorded) -> Row | None:
    """Whose run it is."""
    event = recorded.event
    if not isinstance(event, Batch.RunRequested):
        return None
    return {"run_id": event.run, "batch_id": event.originator_id, "task": event.task, "position": recorded.position}


def _run_id(recorded: Recorded) -> UUID:
    return cast(Batch.RunRequested, recorded.event).run


PROJECTOR = Projector(TABLE, (topic_of(Batch.RunRequested),), _run_id, fold, inserts_only=True)


def batch_of(db: Connection, run_id: UUID) -> UUID | None:
    """The batch that the run belongs to."""
    found: UUID | None = db.scalar(select(TABLE.c.batch_id).where(TABLE.c.run_id == run_id))
    return found


def runs_of(batch_id: UUID) -> Select[UUID]:
    """The ids of the batch's runs."""
    return select(TABLE.c.run_id).where(TABLE.c.batch_id == batch_id)
