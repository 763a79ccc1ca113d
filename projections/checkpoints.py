"""How far each projector has come, and the events that it could not take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, Uuid, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.events import Recorded
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
    Column("aggregate_id", Uuid, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked_at", Moment, nullable=False, server_default=func.now()),
    Index("parked_events_aggregate_idx", "projector", "aggregate_id"),
)
"""Events that could not be decoded, folded or stored. The projector went on; a rebuild tries them again."""

ERROR_LENGTH = 2000
_IN_HASTE = (func.set_config("synchronous_commit", "off", True), func.set_config("lock_timeout", "2s", True))
"""For the rest of a transaction that has moved a checkpoint: its commit need not wait for the disk, as what a crash of
the server takes back, rows and checkpoint alike, is taken in again from the events; and it does not wait for ever for
somebody who has locked a read model."""
_MOVE_TOGETHER = text(
    "WITH held AS (SELECT projector, position FROM checkpoints WHERE projector = ANY(:projectors)"
    " AND position >= :after AND position < :upto FOR UPDATE SKIP LOCKED)"
    " UPDATE checkpoints SET position = :upto, moved_at = clock_timestamp() FROM held"
    " WHERE checkpoints.projector = held.projector RETURNING held.projector, held.position,"
    " set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true)"
)


@dataclass(frozen=True, slots=True)
class Poison:
    """An event that a projector cannot take in, and why."""

    position: int
    type: str | None
    aggregate_id: UUID
    error: Exception

    @classmethod
    def of(cls, recorded: Recorded, error: Exception) -> Self:
        """An event that could be decoded."""
        return cls(recorded.position, recorded.type, recorded.event.originator_id, error)


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


def place(db: Connection, projector: str, position: int) -> None:
    """Sets a claimed checkpoint."""
    values = {"position": position, "moved_at": func.clock_timestamp()}
    db.execute(update(CHECKPOINTS).where(CHECKPOINTS.c.projector == projector).values(values))


def move(db: Connection, projector: str, after: int, upto: int) -> bool:
    """Moves the checkpoint, and nobody else does until this transaction ends. False where it is no more at `after`."""
    statement = insert(CHECKPOINTS).values(projector=projector, position=upto)
    moved = statement.on_conflict_do_update(
        index_elements=[CHECKPOINTS.c.projector],
        set_={"position": upto, "moved_at": func.clock_timestamp()},
        where=CHECKPOINTS.c.position == after,
    )
    return db.execute(moved.returning(*_IN_HASTE)).first() is not None


def places(db: Connection, projectors: Collection[str]) -> dict[str, int]:
    """The checkpoint of each, which is there from now on."""
    query = select(CHECKPOINTS.c.projector, CHECKPOINTS.c.position).where(CHECKPOINTS.c.projector.in_(projectors))
    found = dict(db.execute(query).all())
    if new := [{"projector": projector, "position": 0} for projector in projectors if projector not in found]:
        db.execute(insert(CHECKPOINTS).values(new).on_conflict_do_nothing())
    return dict.fromkeys(projectors, 0) | found


def move_together(db: Connection, projectors: Collection[str], after: int, upto: int) -> dict[str, int]:
    """Moves the checkpoints of those that are at `after` or beyond it, as `move` does. Returns where each of them was.
    Passes by whom somebody else holds, who may do so for long."""
    values = {"projectors": list(projectors), "after": after, "upto": upto}
    return {row.projector: row.position for row in db.execute(_MOVE_TOGETHER, values)}


def park(db: Connection, projector: str, poison: Poison) -> None:
    """Sets an event aside."""
    row = {
        "projector": projector,
        "position": poison.position,
        "topic": poison.type,
        "aggregate_id": poison.aggregate_id,
        "error": escape(f"{type(poison.error).__name__}: {poison.error}"[:ERROR_LENGTH]),
    }
    db.execute(insert(PARKED_EVENTS).values(row).on_conflict_do_nothing())


def unpark(db: Connection, projector: str, aggregate: UUID | None = None) -> int:
    """Forgets what was set aside, of one aggregate or at all. Returns how many events that were."""
    forgotten = delete(PARKED_EVENTS).where(PARKED_EVENTS.c.projector == projector)
    if aggregate is not None:
        forgotten = forgotten.where(PARKED_EVENTS.c.aggregate_id == aggregate)
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
    place(db, projector, position)
    db.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.projector == shadow))
    return db.execute(parked).rowcount
