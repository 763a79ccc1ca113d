"""Snapshots: long histories as they stood after one of their events, so that nobody replays them from the first.

A snapshot is derived and disposable. It is read only by the very code that would replay the events, and only while the
event that it was taken after is still there; whatever else is found in the table is ignored. Plain JSON, never pickle.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, get_type_hints
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from eventsourcing.postgres import PostgresDatastore
from loguru import logger
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, create_model

import domain
from adapters import event_json
from adapters.aggregate_cache import Loaded
from domain.id_set import IdSet

EVENTS_BETWEEN = 200
"""How much a history grows before another snapshot is taken, i.e. the most events that are replayed on top of one."""
_NEAREST = "SELECT version, position, state FROM snapshots WHERE aggregate_id = %s AND fingerprint = %s"
_KEEP = (
    "INSERT INTO snapshots (aggregate_id, version, position, fingerprint, state) VALUES (%s, %s, %s, %s, %b)"
    " ON CONFLICT (aggregate_id) DO UPDATE SET version = excluded.version, position = excluded.position,"
    " fingerprint = excluded.fingerprint, state = excluded.state, taken_at = excluded.taken_at"
)
_PACKED_IDS = Annotated[
    IdSet,
    PlainValidator(lambda text: IdSet(b64decode(text, validate=True))),
    PlainSerializer(lambda ids: b64encode(ids.packed).decode(), return_type=str),
]
Kind = type[BaseAggregate[UUID]]


class Snapshots:
    """Of the aggregates that declare their fields. Threads may share it; `close` it when done."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore
        self._writer = ThreadPoolExecutor(1, "snapshots")
        self._writing = Lock()

    def close(self) -> None:
        """Waits for the one that is being written."""
        self._writer.shutdown()

    def nearest(self, connection: Connection[DictRow], kind: Kind, id: UUID) -> Loaded | None:
        """The aggregate as its snapshot holds it, if there is one that can be used."""
        if not is_dataclass(kind):
            return None
        row = connection.execute(_NEAREST, (id, fingerprint(kind)), prepare=True, binary=True).fetchone()
        if row is None:
            return None
        try:
            aggregate = _restored(kind, id, row["version"], row["state"])
        except ValueError as error:
            logger.warning("the snapshot of {} is thrown away, as it cannot be read: {}", id, error)
            connection.execute("DELETE FROM snapshots WHERE aggregate_id = %s", (id,))
            return None
        return Loaded(aggregate, row["position"], row["version"], len(row["state"]))

    def offer(self, loaded: Loaded) -> None:
        """Takes a snapshot where one is due, unless another is being written: then it is due the next time too.

        The aggregate must be the caller's alone, as it was stored. It is copied, and written on another thread.
        """
        aggregate = loaded.aggregate
        kind = type(aggregate)
        due = is_dataclass(kind) and aggregate.version - loaded.snapshot >= EVENTS_BETWEEN
        if due and self._writing.acquire(blocking=False):
            loaded.snapshot = aggregate.version
            place = (aggregate.id, aggregate.version, loaded.position, fingerprint(kind))
            self._writer.submit(self._keep, place, kind, _state(aggregate)).add_done_callback(self._written)

    def _keep(self, place: tuple[object, ...], kind: Kind, state: Mapping[str, Any]) -> None:
        dumped = _model(kind).model_construct(**state).model_dump_json().encode()
        with self._datastore.get_connection() as connection:
            connection.execute(_KEEP, (*place, dumped))

    def _written(self, future: Future[None]) -> None:
        self._writing.release()
        if error := future.exception():
            logger.warning("a snapshot was not written, and will be another time: {}", error)


@cache
def fingerprint(kind: Kind) -> bytes:
    """Of all the code that decides what such an aggregate is after its events, and how a snapshot holds it."""
    sources = [*sorted(Path(domain.__file__).parent.glob("*.py")), Path(event_json.__file__), Path(__file__)]
    hashed = sha256(f"{kind.__dict__['TOPIC']} {version('eventsourcing')}".encode())
    for source in sources:
        hashed.update(sha256(source.read_bytes()).digest())
    return hashed.digest()


@cache
def _model(kind: Kind) -> type[BaseModel]:
    """What a snapshot of it holds: its fields, and when it began and last changed."""
    types = get_type_hints(kind)
    named: dict[str, Any] = {"created_on": (datetime, ...), "modified_on": (datetime, ...)}
    for field in fields(kind):  # type: ignore[arg-type]  # the callers have asked is_dataclass
        type_ = types[field.name]
        named[field.name] = (_PACKED_IDS if type_ is IdSet else type_, ...)
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **named)


def _state(aggregate: BaseAggregate[UUID]) -> dict[str, Any]:
    """A copy that does not change with the aggregate: what its fields hold is immutable, or copies itself."""
    return {name: copy(getattr(aggregate, name)) for name in _model(type(aggregate)).model_fields}


def _restored(kind: Kind, id: UUID, version: int, state: bytes) -> BaseAggregate[UUID]:
    """Raises ValueError (pydantic's ValidationError is one)."""
    values = dict(_model(kind).model_validate_json(state))
    aggregate = kind.__new__(kind)
    aggregate.__base_init__(id, version, values.pop("created_on"))
    vars(aggregate).update(_modified_on=values.pop("modified_on"), **values)
    return aggregate
