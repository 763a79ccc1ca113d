"""The read models as they were at a past position, in a schema of their own: for questions about the past, in SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.schema import CreateSchema, DropSchema

from domain.errors import Invalid
from domain.ports.events import StoredEvents
from projections import checkpoints
from projections.engine import advance
from projections.projector import Projector
from projections.rebuild import BATCH, OnProgress, silent

SCRATCH = re.compile(r"as_of_[a-z0-9_]{1,50}")


def build_as_of(
    engine: Engine,
    events: StoredEvents,
    projectors: Sequence[Projector],
    position: int,
    schema: str,
    on_progress: OnProgress = silent,
    batch: int = BATCH,
) -> int:
    """Fills the schema in one transaction, anew where it is there already. Returns how many events are left out, since
    they could not be taken in. Raises Invalid for a schema that may hold something else."""
    if not SCRATCH.fullmatch(schema):
        raise Invalid("a schema for the past is called as_of_ and lower-case letters, digits or underscores")
    parked = 0
    with engine.begin() as db:
        db.execute(DropSchema(schema, cascade=True, if_exists=True))
        db.execute(CreateSchema(schema))
        for number, projector in enumerate(projectors):
            past = projector.in_schema(schema)
            past.table.create(db)
            for reached in advance(db, events, past, 0, position, batch):
                on_progress(number * position + reached, len(projectors) * position)
            parked += checkpoints.unpark(db, past.name)
    return parked
