"""One row a version of the rubric: its criteria, how many annotators a pair wants, and who published it why."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, Table, Text, literal, select

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.rubric import RUBRIC_ID, USUAL, Rubric
from projections.paging import LIMIT, Page, every, one, page
from projections.projector import Projector, Row, plain
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position

TABLE = Table(
    "rubrics",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("criteria", Json, nullable=False),
    Column("annotators", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text),
    Column("author_kind", Text),
    Column("recorded_at", Moment),
    position(),
)
"""Version 0, which is in no row, is the usual one; nobody published it."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The version that this event publishes. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, Rubric.Published):
        return row
    author = recorded.envelope.actor
    return {
        "version": event.originator_version,
        "criteria": plain(event.criteria),
        "annotators": event.annotators,
        "reason": event.reason,
        "author": author.subject,
        "author_kind": author.kind.value,
        "recorded_at": recorded.recorded_at,
        "position": recorded.position,
    }


def _version(recorded: Recorded) -> int:
    return recorded.event.originator_version


PROJECTOR = Projector(TABLE, topics_of(Rubric), _version, fold, inserts_only=True)
ROWS = marked(TABLE, literal(RUBRIC_ID))
BEFORE_THE_FIRST: Row = {
    "version": 0,
    "criteria": plain(USUAL),
    "annotators": 1,
    "reason": "",
    "position": 0,
    "stale": False,
    **dict.fromkeys(("author", "author_kind", "recorded_at")),
}


def current(db: Connection) -> Row:
    """The version by which people judge now."""
    return one(db, ROWS.order_by(TABLE.c.version.desc()).limit(1)) or BEFORE_THE_FIRST


def versions(db: Connection, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """Those that were published, the newest first."""
    return page(db, ROWS, TABLE.c.version, cursor, limit)


def every_version(db: Connection) -> list[Row]:
    """Those that were published, and the usual one."""
    return [BEFORE_THE_FIRST, *every(db, select(TABLE))]
