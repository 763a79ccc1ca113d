"""One row a revision of agents.yaml: the text as written, what it says, and who changed it why."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, Table, Text, select

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.roster import AgentRoster
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, plain
from projections.tables import METADATA, Json, Moment, position

TABLE = Table(
    "agent_rosters",
    METADATA,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("agents", Json, nullable=False),
    Column("author", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    position(),
)
"""`revision` is the roster's version too."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The revision that this event records. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, AgentRoster.Revised):
        return row
    author = recorded.envelope.actor
    return {
        "revision": event.originator_version,
        "text": event.text,
        "sha256": event.sha256,
        "agents": plain(event.agents),
        "author": author.subject,
        "author_kind": author.kind.value,
        "reason": event.reason,
        "recorded_at": recorded.recorded_at,
        "position": recorded.position,
    }


def _revision(recorded: Recorded) -> int:
    return recorded.event.originator_version


PROJECTOR = Projector(TABLE, topics_of(AgentRoster), _revision, fold)


def find(db: Connection, revision: int) -> Row | None:
    """One revision."""
    return one(db, select(TABLE).where(TABLE.c.revision == revision))


def latest(db: Connection) -> Row | None:
    """The revision that new runs are pinned to; None before the first."""
    return one(db, select(TABLE).order_by(TABLE.c.revision.desc()).limit(1))


def revisions(db: Connection, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """All revisions, the newest first."""
    return page(db, select(TABLE), TABLE.c.revision, cursor, limit)
