"""Loading aggregates: from memory, else from a snapshot, else from the first event, and always up to the last one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import cast
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.utils import retry
from psycopg import Connection
from psycopg.rows import DictRow

from adapters.aggregate_cache import AggregateCache, Loaded, digest
from adapters.event_json import PlainJsonMapper
from adapters.group_read import GroupRead
from adapters.loop_waits import blocking, is_on_loop, wait_for
from adapters.snapshots import Snapshots

PAGE = 1_000
_FROM = (
    "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events"
    " WHERE originator_id = %s AND originator_version >= %s ORDER BY originator_version LIMIT %s"
)
_LAST = (
    "SELECT last.* FROM unnest(%b::uuid[]) AS wanted (id), LATERAL ("
    "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events"
    " WHERE originator_id = wanted.id ORDER BY originator_version DESC LIMIT 1) AS last"
)
Last = tuple[int, int, bytes]
"""Version, position and digest of an aggregate's last event."""


class Aggregates:
    """Threads may share it, and an event loop; `close` it when done."""

    def __init__(self, datastore: PostgresDatastore, mapper: PlainJsonMapper) -> None:
        self._datastore = datastore
        self._mapper = mapper
        self._cache = AggregateCache()
        self._snapshots = Snapshots(datastore)
        self._lasts = GroupRead[UUID, Last](self._last_events)

    def close(self) -> None:
        self._snapshots.close()

    def load(self, kind: type[BaseAggregate[UUID]], id: UUID) -> Loaded | None:
        """As it is stored now. It is the caller's alone; None where there are no events of that id.

        Like the library's recorder it tries again after an outage. Raises UnknownEvent or ValueError.
        """
        loaded = self._unchanged(id) if is_on_loop() else None
        if loaded is None:
            loaded = blocking(self._load, kind, id)
        return loaded

    def _unchanged(self, id: UUID) -> Loaded | None:
        """The one in memory, where its last event is the last one in the store too. Many commands need the same few:
        their last events are read together, and between that and the decision nobody else's turn comes."""
        if id not in self._cache:
            return None
        try:
            last = wait_for(self._lasts.get(id))
        except (InterfaceError, OperationalError):  # who loads it for themselves tries again, and holds up nobody
            return None
        known = self._cache.take(id)
        if known is None:
            return None
        if last != (known.aggregate.version, known.position, known.event):
            self._cache.put(known)
            return None
        self._snapshots.offer(known)
        return known

    def _last_events(self, ids: Collection[UUID]) -> Mapping[UUID, Last]:
        with self._datastore.get_connection() as connection:
            rows = connection.execute(_LAST, (list(ids),), prepare=True, binary=True).fetchall()
        return {
            row["originator_id"]: (
                row["originator_version"],
                row["notification_id"],
                digest(row["topic"], row["state"]),
            )
            for row in rows
        }

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def _load(self, kind: type[BaseAggregate[UUID]], id: UUID) -> Loaded | None:
        known = self._cache.take(id)
        with self._datastore.get_connection() as connection:
            loaded = (
                (known and self._caught_up(connection, known))
                or ((nearest := self._snapshots.nearest(connection, kind, id)) and self._caught_up(connection, nearest))
                or self._after(None, _rows(connection, id, 1))
            )
        if loaded:
            self._snapshots.offer(loaded)
        return loaded

    def give_back(self, loaded: Loaded) -> None:
        """The caller lets go of it: the next one need not read what is known. Ignored where it holds what is not
        stored."""
        if not loaded.aggregate.pending_events:
            self._cache.put(loaded)

    def _caught_up(self, connection: Connection[DictRow], known: Loaded) -> Loaded | None:
        """With the newer events; None where its last event is gone from the store, or another is in its place, as after
        a restored backup."""
        rows = _rows(connection, known.aggregate.id, known.aggregate.version)
        last = next(rows, None)
        found = last and (last["notification_id"], digest(last["topic"], last["state"]))
        return self._after(known, rows) if found == (known.position, known.event) else None

    def _after(self, loaded: Loaded | None, rows: Iterable[DictRow]) -> Loaded | None:
        row: DictRow | None = None
        for row in rows:
            id, version, position, topic, state = row.values()
            event = self._mapper.to_domain_event(StoredEvent(id, version, topic, state))
            aggregate = cast(BaseAggregate[UUID], event.mutate(loaded.aggregate if loaded else None))
            if loaded is None:
                loaded = Loaded(aggregate, position, b"")
            loaded.position = position
            loaded.bytes += len(state)
        if row and loaded:
            loaded.event = digest(row["topic"], row["state"])
        return loaded


def _rows(connection: Connection[DictRow], id: UUID, version: int) -> Iterator[DictRow]:
    """Of its events from that version on."""
    while True:
        page = connection.execute(_FROM, (id, version, PAGE), prepare=True, binary=True).fetchall()
        yield from page
        if len(page) < PAGE:
            return
        version = page[-1]["originator_version"] + 1
