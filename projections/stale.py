"""Which rows are stale: those of an aggregate that has a parked event, which may lack what that event says.

Later events of the aggregate are folded onto them all the same. Retrying the event, skipping it or rebuilding the read
model takes the mark away.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Table, exists, func, select

from projections.checkpoints import PARKED_EVENTS


def marked(table: Table, aggregate: ColumnElement[UUID]) -> Select[Any]:
    """The rows of a read model, each with `stale`. `aggregate`: whose row it is."""
    parked = exists().where(PARKED_EVENTS.c.projector == table.name, PARKED_EVENTS.c.aggregate_id == aggregate)
    return select(table, parked.label("stale"))


def stale_aggregates(db: Connection) -> dict[str, int]:
    """How many aggregates are stale in each read model where any is."""
    projector, aggregate = PARKED_EVENTS.c.projector, PARKED_EVENTS.c.aggregate_id
    query = select(projector, func.count(aggregate.distinct())).group_by(projector)
    return dict(db.execute(query).all())
