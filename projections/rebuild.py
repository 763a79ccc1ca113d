"""Rebuilding a read model from the first event on."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, delete

from domain.ports import StoredEvents
from projections import checkpoints
from projections.engine import advance
from projections.projector import Projector

BATCH = 2000

OnProgress = Callable[[int, int], None]
"""Told how far the rebuild is: the position reached, and the one that it ends at."""


def _silent(done: int, total: int) -> None:
    """Tells nobody."""


def rebuild(
    engine: Engine, events: StoredEvents, projector: Projector, on_progress: OnProgress = _silent, batch: int = BATCH
) -> int:
    """Empties the table (makes it, where it was dropped), folds every event anew, and tries the parked ones again.

    One transaction: readers see the old rows until it is done, and a rebuild that dies has changed nothing. A batch at
    a time is in memory. Returns the checkpoint.
    """
    head = events.head()
    with engine.begin() as db:
        checkpoints.claim(db, projector.name)
        projector.table.create(db, checkfirst=True)
        db.execute(delete(projector.table))  # unlike TRUNCATE, this lets readers in
        checkpoints.unpark(db, projector.name)
        position = 0
        while position < head:
            position = advance(db, events, projector, position, head, batch)
            on_progress(position, head)
        checkpoints.move(db, projector.name, position)
    return position
