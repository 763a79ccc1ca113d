"""One row a dataset: what it was made from, and what came out."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Table, Text, Uuid

from domain.catalogue import topics_of
from domain.dataset import Dataset
from domain.dataset_diff import DatasetParts
from domain.dataset_recipe import TRAIN
from domain.events import Recorded
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version


class DatasetState(StrEnum):
    REQUESTED = "requested"
    BUILT = "built"


TABLE = Table(
    "datasets",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("filter", Json, nullable=False),
    Column("recipe", Json, nullable=False),
    Column("pairs", Integer),
    Column("annotated", Integer),
    Column("sha256", Text),
    Column("size", BigInteger),
    Column("contents", Json),
    Column("manifest_sha256", Text),
    Column("requested_at", Moment, nullable=False),
    Column("requested_position", BigInteger, nullable=False),
    Column("built_at", Moment),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("datasets_requested_idx", "requested_position", unique=True),
)
"""`as_of` is the last position that the dataset knows of. `pairs`, `annotated`, `sha256` and `size` (bytes) are those
of the file that is trained on; all files are in `contents`."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The dataset after this event."""
    event = recorded.event
    if isinstance(event, Dataset.Requested):
        return _requested(event, recorded)
    return row and row | _change(recorded) | stamp(recorded)


def _requested(event: Dataset.Requested, recorded: Recorded) -> Row:
    return {
        "dataset_id": event.originator_id,
        "state": DatasetState.REQUESTED.value,
        "as_of": event.position,
        "filter": plain(event.filter),
        "recipe": plain(event.recipe.described()),
        "pairs": None,
        "annotated": None,
        "sha256": None,
        "size": None,
        "contents": None,
        "manifest_sha256": None,
        "requested_at": recorded.recorded_at,
        "requested_position": recorded.position,
        "built_at": None,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(recorded: Recorded) -> Row:
    match recorded.event:
        case Dataset.Built() as built:
            return {
                "state": DatasetState.BUILT.value,
                "pairs": built.pairs,
                "annotated": built.annotated,
                "sha256": built.sha256,
                "size": built.size,
                "contents": built.contents and plain(built.contents),
                "manifest_sha256": built.manifest_sha256,
                "built_at": recorded.recorded_at,
            }
        case _:
            return {}


PROJECTOR = Projector(TABLE, topics_of(Dataset), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.dataset_id)


def find(db: Connection, dataset_id: UUID) -> Row | None:
    """One dataset."""
    return one(db, ROWS.where(TABLE.c.dataset_id == dataset_id))


def parts_of(dataset: Row) -> DatasetParts:
    """The parts that the dataset in that row has."""
    return DatasetParts(dataset["dataset_id"], (TRAIN, *(part["name"] for part in dataset["recipe"]["parts"])))


def datasets(db: Connection, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """All datasets, the newest first."""
    return page(db, ROWS, TABLE.c.requested_position, cursor, limit)
