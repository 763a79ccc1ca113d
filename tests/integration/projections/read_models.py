"""What a read model holds, and what it must hold."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from adapters.event_store import PostgresEventStore
from projections.checkpoints import CHECKPOINTS
from projections.projector import Projector, Row


def rows(engine: Engine, projector: Projector) -> dict[Any, Row]:
    with engine.connect() as db:
        found = db.execute(select(projector.table)).mappings()
        return {row[projector.primary_key.name]: dict(row) for row in found}


def checkpoint(engine: Engine, projector: Projector) -> int:
    with engine.connect() as db:
        query = select(CHECKPOINTS.c.position).where(CHECKPOINTS.c.projector == projector.name)
        return db.execute(query).scalar_one()


def folded(store: PostgresEventStore, projector: Projector, upto: int | None = None) -> dict[Any, Row]:
    """What the rows must be, by the fold alone."""
    found: dict[Any, Row] = {}
    for recorded in store.read(upto=upto, topics=projector.topics):
        row = projector.fold(found.get(projector.key(recorded)), recorded)
        if row is not None:
            found[projector.key(recorded)] = row
    return found
