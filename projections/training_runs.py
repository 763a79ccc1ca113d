"""One row a training run: its data and configuration, how far it is, and what came out."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Double, Index, Integer, Table, Text, Uuid

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.training import TrainingRun, TrainingState
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version

TABLE = Table(
    "training_runs",
    METADATA,
    Column("run_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("dataset_id", Uuid, nullable=False),
    Column("dataset_sha256", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("start_from", Json),
    Column("reproduces", Json),
    Column("worker", Text),
    Column("epoch", Integer, nullable=False),
    Column("adapter_name", Text),
    Column("step", Integer, nullable=False),
    Column("total_steps", Integer, nullable=False),
    Column("loss", Double),
    Column("margin", Double),
    Column("accuracy", Double),
    Column("seconds_left", Double),
    Column("samples_per_second", Double),
    Column("pairs", Integer),
    Column("loss_before", Double),
    Column("loss_after", Double),
    Column("seconds", Double),
    Column("stopped_by", Text),
    Column("adapter_sha256", Text),
    Column("base_sha256", Text),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("training_runs_requested_idx", "requested_position", unique=True),
    Index("training_runs_state_idx", "state", "requested_position"),
    Index("training_runs_dataset_idx", "dataset_id"),
)
"""`as_of` is the last position that the dataset knows of; `loss` to `samples_per_second` are those of the last `step`;
`started_at` is when the first trainer took the run. `start_from` is the adapter that it goes on from,
`reproduces` the one that it makes again, and `stopped_by` the warning that ended it early."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The run after this event."""
    event = recorded.event
    if isinstance(event, TrainingRun.Requested):
        return _requested(event, recorded)
    return row and row | _change(row, recorded) | stamp(recorded)


def _requested(event: TrainingRun.Requested, recorded: Recorded) -> Row:
    return dict.fromkeys(TABLE.columns.keys()) | {
        "run_id": event.originator_id,
        "state": TrainingState.REQUESTED.value,
        "dataset_id": event.dataset_id,
        "dataset_sha256": event.dataset_sha256,
        "as_of": event.position,
        "base_model": event.base_model,
        "alias": event.alias,
        "config": plain(event.config),
        "start_from": plain(event.start_from),
        "reproduces": plain(event.reproduces),
        "epoch": 0,
        "step": 0,
        "total_steps": event.config.known_steps,
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(row: Row, recorded: Recorded) -> Row:
    match recorded.event:
        case TrainingRun.Started(worker=worker, epoch=epoch, adapter_name=name):
            started_at = row["started_at"] or recorded.recorded_at
            state = TrainingState.RUNNING.value
            return {"state": state, "worker": worker, "epoch": epoch, "adapter_name": name, "started_at": started_at}
        case TrainingRun.Progressed(progress=progress):
            return {name: value for name, value in asdict(progress).items() if name in TABLE.columns}
        case TrainingRun.Completed(adapter=adapter):
            return {
                "state": TrainingState.COMPLETED.value,
                "finished_at": recorded.recorded_at,
                "seconds_left": 0.0,
                "stopped_by": plain(adapter.stopped_by),
                "pairs": adapter.pairs,
                "loss_before": adapter.loss_before,
                "loss_after": adapter.loss_after,
                "seconds": adapter.seconds,
                "adapter_sha256": adapter.sha256,
                "base_sha256": adapter.base_sha256,
            }
        case TrainingRun.Failed(reason=reason):
            return {"state": TrainingState.FAILED.value, "finished_at": recorded.recorded_at, "reason": reason}
        case TrainingRun.Cancelled(reason=reason):
            return {"state": TrainingState.CANCELLED.value, "finished_at": recorded.recorded_at, "reason": reason}
        case _:
            return {}


PROJECTOR = Projector(TABLE, topics_of(TrainingRun), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.run_id)


def find(db: Connection, run_id: UUID) -> Row | None:
    """One training run."""
    return one(db, ROWS.where(TABLE.c.run_id == run_id))


def runs(
    db: Connection,
    state: TrainingState | None = None,
    dataset_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """Training runs in a state or on a dataset (None: all), the newest first."""
    query = ROWS
    if state is not None:
        query = query.where(TABLE.c.state == state.value)
    if dataset_id is not None:
        query = query.where(TABLE.c.dataset_id == dataset_id)
    return page(db, query, TABLE.c.requested_position, cursor, limit)
