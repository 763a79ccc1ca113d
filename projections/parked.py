"""Parked events: which they are, trying them again, and letting them be."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, select

from domain.ports.events import StoredEvents
from projections import DERIVED, checkpoints
from projections.checkpoints import PARKED_EVENTS
from projections.derived import forget
from projections.engine import refold
from projections.paging import LIMIT, Page, page
from projections.projector import Projector


def parked_events(db: Connection, projector: str, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """What the projector could not take, the newest first, each with the error."""
    query = select(PARKED_EVENTS).where(PARKED_EVENTS.c.projector == projector)
    return page(db, query, PARKED_EVENTS.c.position, cursor, limit)


def retry_parked(engine: Engine, events: StoredEvents, projector: Projector) -> int:
    """Folds anew the rows of every aggregate that a parked event belongs to, from its first event on: folded alone, it
    would come after events that were meant to follow it. Returns how many events are parked still."""
    with engine.begin() as db:
        position = checkpoints.claim(db, projector.name)
        stale = select(PARKED_EVENTS.c.aggregate_id).where(PARKED_EVENTS.c.projector == projector.name).distinct()
        aggregates = db.scalars(stale).all()
        if aggregates:
            forget(db, DERIVED, projector)
        for aggregate in aggregates:
            refold(db, events, projector, aggregate, position)
        return checkpoints.count_parked(db, projector.name)


def skip_parked(engine: Engine, projector: Projector, position: int) -> bool:
    """Lets a parked event be: its rows stay as they are, until a rebuild tries it again. False where none is parked."""
    this = (PARKED_EVENTS.c.projector == projector.name, PARKED_EVENTS.c.position == position)
    with engine.begin() as db:
        return bool(db.execute(delete(PARKED_EVENTS).where(*this)).rowcount)
