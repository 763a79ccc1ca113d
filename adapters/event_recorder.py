"""The library's Postgres recorder with an envelope around every event.

Positions are in commit order because the library's `LOCK TABLE ... IN EXCLUSIVE MODE` stays on: a transaction takes its
positions and commits before the next one takes any. `POSTGRES_ENABLE_DB_FUNCTIONS` would skip that lock, and readers
would then miss events for good; so we refuse it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from domain.catalogue import EVENT_TYPES, schema_version
from domain.events import Envelope, event_id

SALT_BYTES = 16
SENT_AT_ONCE = 4096
"""How many bytes a socket's buffer surely takes. At `Pipeline.sync`, psycopg waits for answers without sending the rest
of a statement that the buffer did not take: for ever, and with the table locked."""
POOL = {
    "POSTGRES_POOL_SIZE": "2",
    "POSTGRES_MAX_OVERFLOW": "14",
    "POSTGRES_MAX_WAITING": "200",
    "POSTGRES_CONNECT_TIMEOUT": "5",
}


class UnsafePositions(ValueError):
    """Somebody turned the library's database functions on."""

    def __init__(self) -> None:
        super().__init__(
            "POSTGRES_ENABLE_DB_FUNCTIONS skips the lock that keeps positions in commit order, "
            "and readers would miss events for good: unset it"
        )


class EnvelopeRecorder(PostgresApplicationRecorder):
    """Stores what `insert_events(..., envelope=...)` says of the events in the same row; bare events without one."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events") -> None:
        if datastore.enable_db_functions:
            raise UnsafePositions
        super().__init__(datastore, events_table_name=events_table_name)
        schema = Identifier(datastore.schema)
        self._insert_enveloped = SQL(
            "INSERT INTO {schema}.{table} ("
            " originator_id, originator_version, topic, state, event_id, schema_version, commitment, command_index,"
            " command_id, fingerprint, actor_subject, actor_kind, correlation_id, causation_id, traceparent, project,"
            " data_subjects)"
            " SELECT e.*, %s, %s, %s, %s, %s, %s, %s, %s, %s"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::uuid[], %s::int[], %s::bytea[],"
            " %s::smallint[]) AS e"
            " RETURNING notification_id"
        ).format(schema=schema, table=Identifier(self.events_table_name))
        self._insert_answered = SQL(
            "WITH written AS ({insert}), answered AS ("
            " INSERT INTO {schema}.command_outcomes (command_id, fingerprint, aggregate_id, version, position)"
            " SELECT %s, %s, %s, %s, max(notification_id) FROM written)"
            " SELECT notification_id FROM written"
        ).format(schema=schema, insert=self._insert_enveloped)
        self._insert_salts = SQL(
            "INSERT INTO {schema}.event_salts (originator_id, originator_version, salt)"
            " SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[])"
        ).format(schema=schema)

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, envelope: Envelope | None = None, **kwargs: Any
    ) -> Sequence[int] | None:
        """Returns the positions. Raises the library's IntegrityError when somebody wrote those versions, or that
        command, first."""
        if envelope is not None:
            salts = [secrets.token_bytes(SALT_BYTES) for _ in stored_events]
            kwargs |= {"envelope": envelope, "salts": salts}
        positions: Sequence[int] | None = super().insert_events(stored_events, **kwargs)
        return positions

    def _insert_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        if salts := kwargs.get("salts"):
            ids = [event.originator_id for event in stored_events]
            versions = [event.originator_version for event in stored_events]
            curs.execute(self._insert_salts, (ids, versions, salts), prepare=True)

    def _insert_stored_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        envelope: Envelope | None = kwargs.get("envelope")
        if envelope is None:
            super()._insert_stored_events(curs, stored_events)
            return
        self._lock_table(curs)
        shared = (
            envelope.command_id,
            envelope.fingerprint,
            envelope.actor.subject,
            envelope.actor.kind.value,
            envelope.correlation_id,
            envelope.causation_id,
            envelope.traceparent,
            envelope.project,
            list(envelope.data_subjects),
        )
        own = zip(*map(_columns, stored_events, kwargs["salts"], range(len(stored_events))), strict=True)
        values = (*shared, *map(list, own))
        if envelope.fingerprint is None:
            curs.execute(self._insert_enveloped, values, prepare=True)
        else:
            answer = (envelope.command_id, envelope.fingerprint, *_first_aggregate(stored_events))
            curs.execute(self._insert_answered, (*values, *answer), prepare=True)
        if sum(len(event.state) for event in stored_events) > SENT_AT_ONCE:
            curs.scroll(0)  # waits for the result, and so for the last byte to be sent

    def _fetch_ids_after_insert_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int]:
        """The positions. The library's own method takes them from an INSERT alone, not from a SELECT around it."""
        return [row["notification_id"] for row in curs.fetchall()]

    def _notify_channel(self, curs: Cursor[DictRow]) -> None:
        """No NOTIFY: it takes a global lock at commit, and the relay polls."""


class EnvelopeFactory(PostgresFactory):
    """What `PERSISTENCE_MODULE=adapters.event_recorder:EnvelopeFactory` chooses."""

    application_recorder_class = EnvelopeRecorder


def open_factory(database_url: str) -> EnvelopeFactory:
    """The library's factory for the database of that URL, `sslmode` and all. Alembic makes the tables."""
    conninfo = conninfo_to_dict(database_url)
    constructed = InfrastructureFactory.construct(
        {
            "PERSISTENCE_MODULE": "adapters.event_recorder:EnvelopeFactory",
            "POSTGRES_DBNAME": str(conninfo.get("dbname", "postgres")),
            "POSTGRES_HOST": str(conninfo.get("host", "127.0.0.1")),
            "POSTGRES_PORT": str(conninfo.get("port", "5432")),
            "POSTGRES_USER": str(conninfo.get("user", "postgres")),
            "POSTGRES_PASSWORD": str(conninfo.get("password", "-")),
            "POSTGRES_PRE_PING": "yes",
            "POSTGRES_ENABLE_DB_FUNCTIONS": "no",
            "CREATE_TABLE": "no",
            **POOL,
        }
    )
    factory = cast(EnvelopeFactory, constructed)
    factory.datastore.pool.kwargs |= conninfo  # type: ignore[operator]
    return factory


def _first_aggregate(stored_events: Sequence[StoredEvent]) -> tuple[UUID, int]:
    """Its id, and its version after these events."""
    first = cast(UUID, stored_events[0].originator_id)
    return first, max(event.originator_version for event in stored_events if event.originator_id == first)


def _columns(event: StoredEvent, salt: bytes, index: int) -> tuple[object, ...]:
    event_type = EVENT_TYPES.get(event.topic)
    version = schema_version(event_type) if event_type else 1
    id = event_id(cast(UUID, event.originator_id), event.originator_version)
    commitment = sha256(salt + event.state).digest()
    return (
        event.originator_id, event.originator_version, event.topic, event.state, id, version, commitment, index,
    )  # fmt: skip
