"""How the read models stand: for operators, and for those who want to read what they have just written."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from projections import READ_MODELS
from projections.checkpoints import CHECKPOINTS, PARKED_EVENTS
from projections.paging import tally
from projections.stale import stale_aggregates

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Status:
    """One projector. `lag` counts positions up to the log's head, its own events or not; `parked` the events that it
    could not take, `stale` the aggregates that they belong to; `moved_at` is None before it first ran."""

    name: str
    checkpoint: int
    lag: int
    parked: int
    stale: int
    moved_at: datetime | None


def status(engine: Engine, head: int) -> list[Status]:
    """Every projector, against the log's `head`."""
    at = select(CHECKPOINTS.c.projector, CHECKPOINTS.c.position, CHECKPOINTS.c.moved_at)
    with engine.connect() as db:
        checkpoints = {name: (position, moved_at) for name, position, moved_at in db.execute(at)}
        parked = tally(db, PARKED_EVENTS.c.projector)
        stale = stale_aggregates(db)
    found = []
    for name in (each.name for each in READ_MODELS):
        position, moved_at = checkpoints.get(name, (0, None))
        lag = max(0, head - position)
        found.append(Status(name, position, lag, parked.get(name, 0), stale.get(name, 0), moved_at))
    return found


def wait_for(engine: Engine, names: Collection[str], position: int, timeout: float) -> bool:
    """Blocks until these projectors have come to `position`; False when they have not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    behind = select(func.count()).where(CHECKPOINTS.c.projector.in_(names), CHECKPOINTS.c.position >= position)
    while True:
        with engine.connect() as db:
            if db.execute(behind).scalar_one() == len(set(names)):
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
