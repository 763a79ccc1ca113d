"""The projection engine: live, catching up and rebuilding on one path.

A batch of events, the rows that they touch and the checkpoint move in one transaction, the checkpoint first: whatever
is killed at whatever moment, rows and checkpoint agree, and of two engines the slower one begins again where the faster
one is. An event that cannot be decoded, folded or stored is parked in that same transaction, so that one bad event
stops nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from domain.events import Recorded
from domain.ports import StoredEvents, StoredRow
from projections import checkpoints
from projections.checkpoints import Poison
from projections.failures import is_refusal
from projections.projector import Projector, Row
from projections.rows import load, remove, upsert

BATCH = 2000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """All of a projector's events with after < position <= upto; and those that could not be decoded."""

    after: int
    upto: int
    events: Sequence[Recorded]
    unreadable: Sequence[Poison]


TakeIn = Callable[[Connection, Projector, Sequence[Recorded]], None]


def catch_up(engine: Engine, events: StoredEvents, projector: Projector, batch: int = BATCH) -> int:
    """Takes in every event that the store holds now. Returns the checkpoint, which is at least that far."""
    *_, position = follow(engine, events, projector, events.head(), batch)
    return position


def follow(engine: Engine, events: StoredEvents, projector: Projector, head: int, size: int) -> Iterator[int]:
    """Takes in the events up to `head`, at most `size` of them in a transaction. Yields the checkpoint, before the
    first and after each."""
    yield (position := checkpoint(engine, projector))
    while position < head:
        for batch in _batches(events, projector, position, head, size):
            if not _commit(engine, projector, batch):
                position = checkpoint(engine, projector)
                break
            yield (position := batch.upto)


def step(engine: Engine, events: StoredEvents, projector: Projector, head: int, size: int) -> int:
    """One batch of that, at most. Returns the checkpoint."""
    after = checkpoint(engine, projector)
    if after < head:
        batch = _read(events, projector, after, head, size)
        return batch.upto if _commit(engine, projector, batch) else checkpoint(engine, projector)
    return after


def advance(
    db: Connection, events: StoredEvents, projector: Projector, after: int, head: int, size: int
) -> Iterator[int]:
    """The same in the caller's transaction and with no checkpoint. Yields how far it is after each batch."""
    for batch in _batches(events, projector, after, head, size):
        park(db, projector, batch.unreadable)
        _take_in_apart(db, projector, batch.events)
        yield batch.upto


def refold(db: Connection, events: StoredEvents, projector: Projector, aggregate: UUID, upto: int) -> None:
    """Makes the rows of one aggregate anew, from its events up to that position. The checkpoint must be claimed."""
    understood, unreadable = decoded(events, events.rows_of(aggregate, upto, projector.topics))
    checkpoints.unpark(db, projector.name, aggregate)
    remove(db, projector, {projector.key(recorded) for recorded in understood})
    park(db, projector, unreadable)
    _take_in_apart(db, projector, understood)


def checkpoint(engine: Engine, projector: Projector) -> int:
    """The last event that it has taken in; 0 before the first."""
    with _autocommitting(engine) as db:
        return checkpoints.position(db, projector.name)


def decoded(events: StoredEvents, rows: Iterable[StoredRow]) -> tuple[list[Recorded], list[Poison]]:
    """The events in these rows, and those that cannot be read."""
    understood: list[Recorded] = []
    unreadable: list[Poison] = []
    for row in rows:
        try:
            understood.append(events.decode(row))
        except Exception as error:
            unreadable.append(Poison(row["notification_id"], row["topic"], row["originator_id"], error))
    return understood, unreadable


def take_in(db: Connection, projector: Projector, events: Sequence[Recorded]) -> None:
    """Writes what these events make of the rows; raises what the database refuses."""
    rows = {} if projector.inserts_only else load(db, projector, {projector.key(recorded) for recorded in events})
    changed, failed = fold_all(projector, rows, events)
    park(db, projector, [Poison.of(recorded, error) for recorded, error in failed])
    upsert(db, projector, list(changed.values()))


def park(db: Connection, projector: Projector, poisons: Iterable[Poison]) -> None:
    """Sets these events aside."""
    for poison in poisons:
        _log.warning("%s parks the event at %d (%s): %s", projector.name, poison.position, poison.topic, poison.error)
        checkpoints.park(db, projector.name, poison)


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


def _autocommitting(engine: Engine) -> Connection:
    """For a single statement, which needs neither BEGIN nor COMMIT around it: two trips to the server less."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _batches(events: StoredEvents, projector: Projector, after: int, head: int, size: int) -> Iterator[Batch]:
    """Reads and decodes the next batch while the last one is written."""
    with ThreadPoolExecutor(1, "read-ahead") as ahead:
        batch = _read(events, projector, after, head, size)
        while batch.upto < head:
            following = ahead.submit(_read, events, projector, batch.upto, head, size)
            yield batch
            batch = following.result()
        yield batch


def _read(events: StoredEvents, projector: Projector, after: int, head: int, size: int) -> Batch:
    rows = list(events.read_rows(after, head, projector.topics, size))
    upto = int(rows[-1]["notification_id"]) if len(rows) == size else head
    return Batch(after, upto, *decoded(events, rows))


def _commit(engine: Engine, projector: Projector, batch: Batch) -> bool:
    """False where another engine was faster. Only a batch with a row that the database refuses pays for savepoints."""
    if not batch.events and not batch.unreadable:
        with _autocommitting(engine) as db:
            return checkpoints.move(db, projector.name, batch.after, batch.upto)
    try:
        return _commit_by(take_in, engine, projector, batch)
    except Exception as error:
        if not is_refusal(error):
            raise
        return _commit_by(_take_in_apart, engine, projector, batch)


def _commit_by(write: TakeIn, engine: Engine, projector: Projector, batch: Batch) -> bool:
    with engine.begin() as db:
        moved = checkpoints.move(db, projector.name, batch.after, batch.upto)
        if moved:
            park(db, projector, batch.unreadable)
            write(db, projector, batch.events)
    return moved


def _take_in_apart(db: Connection, projector: Projector, events: Sequence[Recorded]) -> None:
    """Where the database refuses a row of the batch, the halves are tried apart until the culprit stands alone."""
    try:
        with db.begin_nested():
            take_in(db, projector, events)
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(events) == 1:
            park(db, projector, [Poison.of(events[0], error)])
        else:
            half = len(events) // 2
            _take_in_apart(db, projector, events[:half])
            _take_in_apart(db, projector, events[half:])
