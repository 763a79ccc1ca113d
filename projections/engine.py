"""The projection engine: live, catching up and rebuilding on one path.

A batch of events, the rows that they touch and the checkpoint move in one transaction, under a lock on the checkpoint's
row: whatever is killed at whatever moment, rows and checkpoint agree, and two engines take turns. An event that cannot
be decoded, folded or stored is parked in that same transaction, so that one bad event stops nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError

from domain.events import Recorded
from domain.ports import StoredEvents, StoredRow
from projections import checkpoints
from projections.projector import Projector, Row

BATCH = 500
REFUSED = (DataError, IntegrityError, ValueError)
"""What a row of values that Postgres cannot hold raises: not a lost connection, not a missing table."""

_log = logging.getLogger(__name__)


def catch_up(engine: Engine, events: StoredEvents, projector: Projector, batch: int = BATCH) -> int:
    """Takes in every event that the store holds now. Returns the checkpoint, which is at least that far.

    Waits while another engine works for the same projector.
    """
    head = events.head()
    with engine.connect() as db:
        position = checkpoints.position(db, projector.name)
    while position < head:
        position = step(engine, events, projector, head, batch)
    return position


def step(engine: Engine, events: StoredEvents, projector: Projector, head: int, batch: int) -> int:
    """One batch, rows and checkpoint in one transaction. Returns the checkpoint."""
    with engine.begin() as db:
        position = checkpoints.claim(db, projector.name)
        if position < head:
            position = advance(db, events, projector, position, head, batch)
            checkpoints.move(db, projector.name, position)
    return position


def advance(db: Connection, events: StoredEvents, projector: Projector, after: int, head: int, batch: int) -> int:
    """Takes in at most `batch` events with after < position <= head. Returns where it has come to."""
    rows = list(events.read_rows(after, head, projector.topics, batch))
    _take_in(db, projector, _understood(db, events, projector, rows))
    return int(rows[-1]["notification_id"]) if len(rows) == batch else head


def refold(db: Connection, events: StoredEvents, projector: Projector, aggregate: UUID, upto: int) -> None:
    """Makes the rows of one aggregate anew, from its events up to that position. The checkpoint must be claimed."""
    rows = list(events.rows_of(aggregate, upto, projector.topics))
    for row in rows:
        checkpoints.unpark(db, projector.name, row["notification_id"])
    understood = _understood(db, events, projector, rows)
    keys = {projector.key(recorded) for recorded in understood}
    db.execute(delete(projector.table).where(projector.primary_key.in_(keys)))
    _take_in(db, projector, understood)


def fold_all(
    projector: Projector, rows: Mapping[Any, Row], events: Iterable[Recorded]
) -> tuple[dict[Any, Row], list[tuple[Recorded, Exception]]]:
    """The rows that these events change, by key, and the events that could not be folded. `rows`: as they are now."""
    changed: dict[Any, Row] = {}
    failed: list[tuple[Recorded, Exception]] = []
    for recorded in events:
        key = projector.key(recorded)
        try:
            row = projector.fold(changed.get(key) or rows.get(key), recorded)
        except Exception as error:
            failed.append((recorded, error))
        else:
            if row is not None:
                changed[key] = row
    return changed, failed


def _understood(
    db: Connection, events: StoredEvents, projector: Projector, rows: Iterable[StoredRow]
) -> list[Recorded]:
    """The events in these rows. Those that cannot be decoded are parked."""
    understood = []
    for row in rows:
        try:
            understood.append(events.decode(row))
        except Exception as error:
            _park(db, projector, row["notification_id"], row["topic"], error)
    return understood


def _take_in(db: Connection, projector: Projector, events: Sequence[Recorded]) -> None:
    """Where the database refuses a row of the batch, the halves are tried apart until the culprit stands alone."""
    if not events:
        return
    try:
        with db.begin_nested():
            changed, failed = fold_all(projector, _load(db, projector, events), events)
            for recorded, error in failed:
                _park(db, projector, recorded.position, recorded.type, error)
            _upsert(db, projector, changed.values())
    except REFUSED as error:
        if len(events) == 1:
            _park(db, projector, events[0].position, events[0].type, error)
        else:
            half = len(events) // 2
            _take_in(db, projector, events[:half])
            _take_in(db, projector, events[half:])


def _load(db: Connection, projector: Projector, events: Iterable[Recorded]) -> dict[Any, Row]:
    keys = {projector.key(recorded) for recorded in events}
    found = db.execute(select(projector.table).where(projector.primary_key.in_(keys))).mappings()
    return {row[projector.primary_key.name]: dict(row) for row in found}


def _upsert(db: Connection, projector: Projector, rows: Iterable[Row]) -> None:
    columns = projector.table.columns.keys()
    complete = [{column: row.get(column) for column in columns} for row in rows]
    if complete:
        statement = insert(projector.table)
        key = projector.primary_key.name
        values = {column: statement.excluded[column] for column in columns if column != key}
        db.execute(statement.on_conflict_do_update(index_elements=[key], set_=values), complete)


def _park(db: Connection, projector: Projector, position: int, topic: str | None, error: Exception) -> None:
    _log.warning("%s parks the event at %d (%s): %s", projector.name, position, topic, error)
    checkpoints.park(db, projector.name, position, topic, error)
