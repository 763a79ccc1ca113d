"""How saves become rows: one statement writes the events of many callers, each with its envelope and commitment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from secrets import token_bytes
from typing import cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed, Identifier

from domain.catalogue import EVENT_TYPES, schema_version
from domain.events import Envelope, event_id

_GIVEN = {
    "originator_id": "uuid",
    "originator_version": "bigint",
    "topic": "text",
    "state": "bytea",
    "event_id": "uuid",
    "schema_version": "int",
    "command_index": "smallint",
    "command_id": "uuid",
    "fingerprint": "bytea",
    "actor_subject": "text",
    "actor_kind": "text",
    "correlation_id": "uuid",
    "causation_id": "uuid",
    "traceparent": "text",
    "project": "text",
    "data_subjects": "text",
    "salt": "bytea",
}
"""What `rows` give, in their order. `data_subjects` is an array's text, as `unnest` takes arrays of arrays apart."""
_STORED = [column for column in _GIVEN if column != "salt"]
_INSERT_EVENTS = SQL(
    "WITH given AS (SELECT * FROM unnest({arrays}) AS given ({given})),"
    " salted AS (INSERT INTO {schema}.event_salts (originator_id, originator_version, salt)"
    " SELECT originator_id, originator_version, salt FROM given WHERE salt IS NOT NULL)"
    " INSERT INTO {schema}.{table} ({columns}, commitment)"
    " SELECT {values}, sha256(salt || state) FROM given RETURNING notification_id"
)
_INSERT_ANSWERS = SQL(
    "INSERT INTO {schema}.command_outcomes (command_id, fingerprint, aggregate_id, version, position)"
    " SELECT * FROM unnest(%b::uuid[], %b::bytea[], %b::uuid[], %s::bigint[], %s::bigint[])"
)

SALT_BYTES = 16
Row = tuple[object, ...]
Positions = list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Save:
    """One caller's events. `also` is done in the same transaction."""

    events: Sequence[StoredEvent]
    envelope: Envelope | None = None
    also: Callable[[Cursor[DictRow]], None] | None = None

    @property
    def bytes(self) -> int:
        return sum(len(event.state) for event in self.events)


def insert_events_statement(schema: str, table: str) -> Composed:
    """Takes the columns of `rows`. The commitment is the SHA-256 of salt and data."""
    return _INSERT_EVENTS.format(
        arrays=_listed(_array_of(type) for type in _GIVEN.values()),
        given=_listed(_GIVEN),
        columns=_listed(_STORED),
        values=_listed(f"{column}::text[]" if column == "data_subjects" else column for column in _STORED),
        schema=Identifier(schema),
        table=Identifier(table),
    )


def insert_answers_statement(schema: str) -> Composed:
    """Takes the columns of `answer`s."""
    return _INSERT_ANSWERS.format(schema=Identifier(schema))


def columns(rows: Sequence[Row]) -> list[list[object]]:
    """The same values by column, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def rows(save: Save) -> list[Row]:
    """A row for each event, as `insert_events_statement` takes them; bare where there is no envelope, as in the
    library's tests."""
    envelope = save.envelope
    if envelope is None:
        return [(*_stored(event), None, 1, *[None] * 8, "default", "{}", None) for event in save.events]
    shared = (
        envelope.command_id,
        envelope.fingerprint,
        envelope.actor.subject,
        envelope.actor.kind.value,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.traceparent,
        envelope.project,
        _array(envelope.data_subjects),
    )
    return [
        (*_stored(event), *_derived(event), index, *shared, token_bytes(SALT_BYTES))
        for index, event in enumerate(save.events)
    ]


def answer(save: Save, positions: Positions) -> Row | None:
    """What a client's command is answered, as `insert_answers_statement` takes it; None for a policy's, which is known
    by its events."""
    envelope = save.envelope
    if envelope is None or envelope.fingerprint is None:
        return None
    first = save.events[0].originator_id
    version = max(event.originator_version for event in save.events if event.originator_id == first)
    return envelope.command_id, envelope.fingerprint, first, version, positions[-1]


def _array_of(type: str) -> str:
    """Its placeholder. Binary where psycopg or the server would have to spell the values out; it sizes integers by
    their values, and so they go as text."""
    return f"%s::{type}[]" if "int" in type else f"%b::{type}[]"


def _listed(names: Iterable[str]) -> Composed:
    return SQL(", ").join(map(SQL, names))


def _stored(event: StoredEvent) -> Row:
    return event.originator_id, event.originator_version, event.topic, event.state


def _derived(event: StoredEvent) -> Row:
    """Its id, and the version of its form."""
    event_type = EVENT_TYPES.get(event.topic)
    id = event_id(cast(UUID, event.originator_id), event.originator_version)
    return id, schema_version(event_type) if event_type else 1


def _array(texts: Sequence[str]) -> str:
    """A text[] as PostgreSQL reads it (section "Array Input and Output Syntax" of its manual)."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
