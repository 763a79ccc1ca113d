"""One row a step of a training: the series behind its curves."""

from __future__ import annotations

from dataclasses import asdict, fields
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Double, Index, Integer, Table, Uuid

from domain.events import Recorded, topic_of
from domain.training import TrainingRun
from domain.training_health import warnings
from domain.training_progress import Progress
from projections.paging import every
from projections.projector import Projector, Row
from projections.stale import marked
from projections.tables import METADATA, Moment

MEASURES = tuple(field.name for field in fields(Progress) if field.default is None)
"""What not every step has: those of before it was measured have none of it."""

TABLE = Table(
    "training_metrics",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Uuid, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("total_steps", Integer, nullable=False),
    Column("loss", Double, nullable=False),
    Column("margin", Double, nullable=False),
    Column("accuracy", Double, nullable=False),
    Column("seconds_left", Double, nullable=False),
    Column("samples_per_second", Double, nullable=False),
    *(Column(name, Double) for name in MEASURES),
    Column("recorded_at", Moment, nullable=False),
    Index("training_metrics_run_idx", "run_id", "step"),
)
"""`epoch` says which trainer reported, 1 being the first that took the run. domain.training_progress says what the
measures mean."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The step that this event reports. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, TrainingRun.Progressed):
        return row
    return {
        "position": recorded.position,
        "run_id": event.originator_id,
        "epoch": event.epoch,
        **asdict(event.progress),
        "recorded_at": recorded.recorded_at,
    }


def _position(recorded: Recorded) -> int:
    return recorded.position


PROJECTOR = Projector(TABLE, (topic_of(TrainingRun.Progressed),), _position, fold, inserts_only=True)
ROWS = marked(TABLE, TABLE.c.run_id)


def of_run(db: Connection, run_id: UUID, after_step: int = 0) -> list[Row]:
    """A run's steps after that one, in order."""
    query = ROWS.where(TABLE.c.run_id == run_id, TABLE.c.step > after_step)
    return every(db, query.order_by(TABLE.c.step))


def health(db: Connection, run_id: UUID) -> list[Row]:
    """What a run's steps so far warn of now: `code`, `says`, `advice`."""
    names = [field.name for field in fields(Progress)]
    steps = [Progress(**{name: row[name] for name in names}) for row in of_run(db, run_id)]
    return [asdict(warning) for warning in warnings(steps)]
