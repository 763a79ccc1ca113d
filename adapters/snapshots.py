"""Snapshots: long histories as they stood after one of their events, so that nobody replays them from the first.

A snapshot is derived and disposable. It is read only by the very code that would replay the events, and only while the
event that it was taken after is still there; whatever else is found in the table is ignored. Plain JSON, never pickle,
but for sets of ids, which lie beside it as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from threading import Lock, Thread
from typing import Any, get_type_hints
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from eventsourcing.postgres import PostgresDatastore
from loguru import logger
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict, create_model

import domain
from adapters import event_json
from adapters.aggregate_cache import Loaded
from domain.events import topic_of
from domain.id_set import IdSet

EVENTS_BETWEEN = 200
"""How much a history grows before another snapshot is taken, i.e. the most events that are replayed on top of one."""
WRITE_SECONDS = 10
CLOSE_SECONDS = 5.0
_NEAREST = "SELECT version, position, event, state, id_sets FROM snapshots WHERE aggregate_id = %s AND fingerprint = %s"
_KEEP = (
    "INSERT INTO snapshots (aggregate_id, version, position, event, fingerprint, state, id_sets)"
    " VALUES (%s, %s, %s, %s, %s, %s, %b) ON CONFLICT (aggregate_id) DO UPDATE SET version = excluded.version,"
    " position = excluded.position, event = excluded.event, fingerprint = excluded.fingerprint, state = excluded.state,"
    " id_sets = excluded.id_sets, taken_at = excluded.taken_at"
)
Kind = type[BaseAggregate[UUID]]


class Snapshots:
    """Of the aggregates that declare their fields. Threads may share it; `close` it when done."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore
        self._writing = Lock()
        self._closed = False

    def close(self) -> None:
        """Waits a while for the one that is being written, and takes no more."""
        self._closed = True
        self._writing.acquire(timeout=CLOSE_SECONDS)

    def nearest(self, connection: Connection[DictRow], kind: Kind, id: UUID) -> Loaded | None:
        """The aggregate as its snapshot holds it, if there is one that can be used."""
        if not is_dataclass(kind):
            return None
        row = connection.execute(_NEAREST, (id, fingerprint(kind)), prepare=True, binary=True).fetchone()
        if row is None:
            return None
        try:
            aggregate = _restored(kind, id, row["version"], row["state"], row["id_sets"])
        except (ValueError, TypeError) as error:
            logger.warning("the snapshot of {} is thrown away, as it cannot be read: {}", id, error)
            connection.execute("DELETE FROM snapshots WHERE aggregate_id = %s", (id,))
            return None
        bytes = sum(map(len, [row["state"], *row["id_sets"]]))
        return Loaded(aggregate, row["position"], row["event"], row["version"], bytes)

    def offer(self, loaded: Loaded) -> None:
        """Takes a snapshot where one is due, unless another is being written: then it is due the next time too.

        The aggregate must be the caller's alone, as it was stored. It is copied, and written on another thread.
        """
        aggregate = loaded.aggregate
        kind = type(aggregate)
        due = is_dataclass(kind) and aggregate.version - loaded.snapshot >= EVENTS_BETWEEN
        if due and not self._closed and self._writing.acquire(blocking=False):
            loaded.snapshot = aggregate.version
            place = (aggregate.id, aggregate.version, loaded.position, loaded.event, fingerprint(kind))
            Thread(target=self._write, args=[place, kind, _state(aggregate)], name="snapshot", daemon=True).start()

    def _write(self, place: tuple[object, ...], kind: Kind, state: dict[str, Any]) -> None:
        try:
            self._keep(place, kind, state)
        except Exception as error:  # nobody needs a snapshot: whatever it was, the history is replayed
            logger.warning("a snapshot was not written, and will be another time: {}", error)
        finally:
            self._writing.release()

    def _keep(self, place: tuple[object, ...], kind: Kind, state: dict[str, Any]) -> None:
        id_sets = [state.pop(name).packed for name in _id_sets(kind)]
        plain = _model(kind).model_construct(**state).model_dump_json().encode()
        with self._datastore.get_connection() as connection, connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{WRITE_SECONDS}s'")
            connection.execute(_KEEP, (*place, plain, id_sets))


def _code() -> str:
    """All that decides what an aggregate is after its events, and how a snapshot holds it."""
    sources = [*sorted(Path(domain.__file__).parent.glob("*.py")), Path(event_json.__file__), Path(__file__)]
    return "\n".join([version("eventsourcing"), *(source.read_text() for source in sources)])


_CODE = sha256(_code().encode()).digest()
"""Of the code as it was loaded, whatever takes its place on the disk while this process runs."""


def fingerprint(kind: Kind) -> bytes:
    """Of what a snapshot of that kind depends on."""
    return sha256(_CODE + topic_of(kind).encode()).digest()


@cache
def _types(kind: Kind) -> dict[str, Any]:
    """What of an aggregate is kept: its fields, and when it began and last changed."""
    types = get_type_hints(kind)
    declared = {field.name: types[field.name] for field in fields(kind)}  # type: ignore[arg-type]  # is_dataclass
    return {"created_on": datetime, "modified_on": datetime, **declared}


@cache
def _id_sets(kind: Kind) -> Sequence[str]:
    return [name for name, type in _types(kind).items() if type is IdSet]


@cache
def _model(kind: Kind) -> type[BaseModel]:
    """All but the sets of ids."""
    plain: dict[str, Any] = {name: (type, ...) for name, type in _types(kind).items() if type is not IdSet}
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **plain)


def _state(aggregate: BaseAggregate[UUID]) -> dict[str, Any]:
    """A copy that does not change with the aggregate: what its fields hold is immutable, or copies itself."""
    return {name: copy(getattr(aggregate, name)) for name in _types(type(aggregate))}


def _restored(kind: Kind, id: UUID, version: int, state: bytes, id_sets: Sequence[bytes]) -> BaseAggregate[UUID]:
    """Raises ValueError (pydantic's ValidationError is one) or TypeError for what was not written by `Snapshots`."""
    values = dict(_model(kind).model_validate_json(state))
    values |= zip(_id_sets(kind), map(IdSet, id_sets), strict=True)
    aggregate = kind.__new__(kind)
    aggregate.__base_init__(id, version, values.pop("created_on"))
    vars(aggregate).update(_modified_on=values.pop("modified_on"), **values)
    return aggregate
