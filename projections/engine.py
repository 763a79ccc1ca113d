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
from domain.ports.events import StoredEvents
from projections import checkpoints
from projections.checkpoints import Poison
from projections.copying import copied
from projections.decoded import Decoded, Found
from projections.failures import is_refusal
from projections.projector import Projector, Row
from projections.rows import load, remove, upsert

BATCH = 2000
MANY = 100
"""Events that are worth the trips to the server that a COPY takes."""
AT_ONCE = 50
"""Events that are decoded and folded before their rows are copied: so few stay in the processor's cache."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """All of a projector's events with after < position <= upto."""

    after: int
    upto: int
    found: Decoded


TakeIn = Callable[[Connection, Projector, Sequence[Found]], None]


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
        take_in_apart(db, projector, batch.found)
        yield batch.upto


def refold(db: Connection, events: StoredEvents, projector: Projector, aggregate: UUID, upto: int) -> None:
    """Makes the rows of one aggregate anew, from its events up to that position. The checkpoint must be claimed."""
    found = list(Decoded(events, list(events.rows_of(aggregate, upto, projector.topics))))
    checkpoints.unpark(db, projector.name, aggregate)
    remove(db, projector, _keys(projector, found))
    take_in_apart(db, projector, found)


def checkpoint(engine: Engine, projector: Projector) -> int:
    """The last event that it has taken in; 0 before the first."""
    with _autocommitting(engine) as db:
        return checkpoints.position(db, projector.name)


def take_in(db: Connection, projector: Projector, found: Sequence[Found]) -> None:
    """Writes what these events make of the rows, and sets aside those that cannot be read or folded. Raises what the
    database refuses."""
    failed: list[Poison] = []
    new = projector.inserts_only and len(found) >= MANY
    if not (new and copied(db, projector, _new_rows(projector, found, failed))):
        found = list(found)
        rows = {} if projector.inserts_only else load(db, projector, _keys(projector, found))
        changed, failed = fold_all(projector, rows, found)
        upsert(db, projector, list(changed.values()))
    park(db, projector, failed)


def take_in_apart(db: Connection, projector: Projector, found: Sequence[Found]) -> None:
    """Where the database refuses a row of the batch, the halves are tried apart until the culprit stands alone."""
    try:
        with db.begin_nested():
            take_in(db, projector, found)
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(found) > 1:
            half = len(found) // 2
            take_in_apart(db, projector, found[:half])
            take_in_apart(db, projector, found[half:])
        elif isinstance(culprit := found[0], Recorded):
            park(db, projector, [Poison.of(culprit, error)])
        else:
            raise


def park(db: Connection, projector: Projector, poisons: Iterable[Poison]) -> None:
    """Sets these events aside."""
    for poison in poisons:
        _log.warning("%s parks the event at %d (%s): %s", projector.name, poison.position, poison.type, poison.error)
        checkpoints.park(db, projector.name, poison)


def fold_all(
    projector: Projector, rows: Mapping[Any, Row], found: Iterable[Found]
) -> tuple[dict[Any, Row], list[Poison]]:
    """The rows that these events change, by key, and the events that could not be read or folded. `rows`: as they are
    now."""
    changed: dict[Any, Row] = {}
    failed: list[Poison] = []
    for recorded in found:
        if isinstance(recorded, Poison):
            failed.append(recorded)
            continue
        key = projector.key(recorded)
        try:
            row = projector.fold(changed.get(key) or rows.get(key), recorded)
        except Exception as error:
            failed.append(Poison.of(recorded, error))
        else:
            if row is not None:
                changed[key] = row
    return changed, failed


def _new_rows(projector: Projector, found: Sequence[Found], failed: list[Poison]) -> Iterator[Row]:
    """The rows that these events make, where none changes another's. Adds to `failed` those that make none."""
    for start in range(0, len(found), AT_ONCE):
        changed, unable = fold_all(projector, {}, found[start : start + AT_ONCE])
        failed += unable
        yield from changed.values()


def _keys(projector: Projector, found: Iterable[Found]) -> set[Any]:
    return {projector.key(recorded) for recorded in found if isinstance(recorded, Recorded)}


def _autocommitting(engine: Engine) -> Connection:
    """For a single statement, which needs neither BEGIN nor COMMIT around it: two trips to the server less."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _batches(events: StoredEvents, projector: Projector, after: int, head: int, size: int) -> Iterator[Batch]:
    """Reads the next batch while the last one is decoded and written."""
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
    return Batch(after, upto, Decoded(events, rows))


def _commit(engine: Engine, projector: Projector, batch: Batch) -> bool:
    """False where another engine was faster. Only a batch with a row that the database refuses pays for savepoints."""
    if not batch.found:
        with _autocommitting(engine) as db:
            return checkpoints.move(db, projector.name, batch.after, batch.upto)
    try:
        return _commit_by(take_in, engine, projector, batch)
    except Exception as error:
        if not is_refusal(error):
            raise
        return _commit_by(take_in_apart, engine, projector, batch)


def _commit_by(write: TakeIn, engine: Engine, projector: Projector, batch: Batch) -> bool:
    with engine.begin() as db:
        moved = checkpoints.move(db, projector.name, batch.after, batch.upto)
        if moved:
            write(db, projector, batch.found)
    return moved
