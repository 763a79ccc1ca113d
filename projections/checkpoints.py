"""How far each projector has come, and the events that it could not take."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Table, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.text import escape
from projections.tables import METADATA, Moment

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("projector", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("moved_at", Moment, nullable=False, server_default=func.now()),
)

PARKED_EVENTS = Table(
    "parked_events",
    METADATA,
    Column("projector", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("topic", Text),
    Column("error", Text, nullable=False),
    Column("parked_at", Moment, nullable=False, server_default=func.now()),
)
"""Events that could not be decoded, folded or stored. The projector went on; a rebuild tries them again."""

ERROR_LENGTH = 2000


def position(db: Connection, projector: str) -> int:
    """The last event that the projector has taken in; 0 before the first."""
    query = select(CHECKPOINTS.c.position).where(CHECKPOINTS.c.projector == projector)
    found: int | None = db.execute(query).scalar()
    return found or 0


def claim(db: Connection, projector: str) -> int:
    """The same, and nobody else moves the checkpoint until this transaction ends."""
    db.execute(insert(CHECKPOINTS).values(projector=projector, position=0).on_conflict_do_nothing())
    query = select(CHECKPOINTS.c.position).where(CHECKPOINTS.c.projector == projector).with_for_update()
    found: int = db.execute(query).scalar_one()
    return found


def move(db: Connection, projector: str, position: int) -> None:
    """Sets a claimed checkpoint."""
    values = {"position": position, "moved_at": func.clock_timestamp()}
    db.execute(update(CHECKPOINTS).where(CHECKPOINTS.c.projector == projector).values(values))


def park(db: Connection, projector: str, position: int, topic: str | None, error: Exception) -> None:
    """Sets an event aside."""
    text = escape(f"{type(error).__name__}: {error}"[:ERROR_LENGTH])
    row = {"projector": projector, "position": position, "topic": topic, "error": text}
    db.execute(insert(PARKED_EVENTS).values(row).on_conflict_do_nothing())


def unpark(db: Connection, projector: str, position: int | None = None) -> int:
    """Forgets what was set aside, at one position or at all. Returns how many events that were."""
    forgotten = delete(PARKED_EVENTS).where(PARKED_EVENTS.c.projector == projector)
    if position is not None:
        forgotten = forgotten.where(PARKED_EVENTS.c.position == position)
    return db.execute(forgotten).rowcount


def count_parked(db: Connection, projector: str) -> int:
    """How many events are set aside."""
    query = select(func.count()).select_from(PARKED_EVENTS).where(PARKED_EVENTS.c.projector == projector)
    return db.execute(query).scalar_one()


def take_over(db: Connection, projector: str, shadow: str, position: int) -> int:
    """The shadow's place and parked events are the projector's own from now on; both were claimed. Returns how many
    events are parked."""
    unpark(db, projector)
    parked = update(PARKED_EVENTS).where(PARKED_EVENTS.c.projector == shadow).values(projector=projector)
    move(db, projector, position)
    db.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.projector == shadow))
    return db.execute(parked).rowcount
