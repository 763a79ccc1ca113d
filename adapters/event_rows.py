"""How saves become rows: each event is a `new_event`, as the procedure `append_events` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from secrets import token_bytes
from typing import cast
from uuid import UUID

import uuid_utils
from eventsourcing.persistence import StoredEvent
from psycopg import Cursor
from psycopg.rows import DictRow

from adapters.postgres_binary import TEXT, Binary, array, bigint, field, head, integer, smallint
from domain.catalogue import EVENT_TYPES, schema_version
from domain.events import EVENT_NAMESPACE, Actor, Envelope, event_name

SALT_BYTES = 16
_NAMESPACE = uuid_utils.UUID(bytes=EVENT_NAMESPACE.bytes)
_FIELDS = integer(20)
"""How many fields a `new_event` has."""
_UUID, _BIGINT, _SMALLINT = head("uuid", 16), head("int8", 8), head("int2", 2)
_SALT, _COMMITMENT = head("bytea", SALT_BYTES), head("bytea", 32)
_text, _texts, _bytes, _uuid = field("text"), field("text", is_array=True), field("bytea"), field("uuid")
_NULL_BIGINT, _NULL_SMALLINT = field("int8")(None), field("int2")(None)
_NO_ANSWER = _uuid(None) + _NULL_BIGINT


@dataclass(frozen=True, slots=True, eq=False)
class Save:
    """One caller's events. `also` is done in the same transaction."""

    events: Sequence[StoredEvent]
    envelope: Envelope | None = None
    also: Callable[[Cursor[DictRow]], None] | None = None

    @property
    def bytes(self) -> int:
        return sum([len(event.state) for event in self.events])


def new_events(saves: Sequence[Save], oid: int) -> Binary:
    """All their events as an array of `new_event`, the type of that oid."""
    salts = BytesIO(token_bytes(SALT_BYTES * sum([len(save.events) for save in saves])))
    return Binary(array(oid, [row for save in saves for row in _rows(save, salts)]))


def _rows(save: Save, salts: BytesIO) -> Iterable[bytes]:
    """A row for each event."""
    if save.envelope is None:
        return map(_bare, save.events)
    shared, last = _shared(save.envelope), len(save.events) - 1
    return [
        _row(event, index, salts.read(SALT_BYTES), shared, _NO_ANSWER if index < last else _answer(save))
        for index, event in enumerate(save.events)
    ]


def _row(event: StoredEvent, index: int, salt: bytes, shared: bytes, answer: bytes) -> bytes:
    """The commitment to its data is the SHA-256 of salt and data."""
    id, version, state = cast(UUID, event.originator_id), event.originator_version, event.state
    return b"".join(
        (
            _FIELDS,
            _UUID,
            id.bytes,
            _BIGINT,
            bigint(version),
            _topic(event.topic),
            _bytes(state),
            _UUID,
            uuid_utils.uuid5(_NAMESPACE, event_name(id, version)).bytes,
            _SMALLINT,
            smallint(index),
            _SALT,
            salt,
            _COMMITMENT,
            sha256(salt + state).digest(),
            shared,
            answer,
        )
    )


@lru_cache
def _topic(topic: str) -> bytes:
    """And the version of its form."""
    event_type = EVENT_TYPES.get(topic)
    return _text(topic.encode()) + head("int4", 4) + integer(schema_version(event_type) if event_type else 1)


def _shared(envelope: Envelope) -> bytes:
    """What all events of a save have in common."""
    return b"".join(
        (
            _id(envelope.command_id),
            _bytes(envelope.fingerprint),
            _actor(envelope.actor),
            _id(envelope.correlation_id),
            _id(envelope.causation_id),
            _text(envelope.traceparent.encode() if envelope.traceparent else None),
            _about(envelope.project, envelope.data_subjects),
        )
    )


@lru_cache
def _actor(actor: Actor) -> bytes:
    return _text(actor.subject.encode()) + _text(actor.kind.value.encode())


@lru_cache
def _about(project: str, data_subjects: tuple[str, ...]) -> bytes:
    subjects = array(TEXT, [subject.encode() for subject in data_subjects])
    return _text(project.encode()) + _texts(subjects)


def _id(id: UUID | None) -> bytes:
    return _uuid(id.bytes if id else None)


def _answer(save: Save) -> bytes:
    """What a client's command is answered: the first aggregate and its version. A policy's is known by its events."""
    if save.envelope is None or save.envelope.fingerprint is None:
        return _NO_ANSWER
    first = save.events[0].originator_id
    version = max(event.originator_version for event in save.events if event.originator_id == first)
    return b"".join((_UUID, cast(UUID, first).bytes, _BIGINT, bigint(version)))


def _bare(event: StoredEvent) -> bytes:
    """Without an envelope, as in the library's tests."""
    id = cast(UUID, event.originator_id).bytes
    stored = (_UUID, id, _BIGINT, bigint(event.originator_version), _topic(event.topic), _bytes(event.state))
    return b"".join((_FIELDS, *stored, _WITHOUT_ENVELOPE))


_WITHOUT_ENVELOPE = b"".join(
    (
        *(_uuid(None), _NULL_SMALLINT, _bytes(None), _bytes(None)),
        *(_uuid(None), _bytes(None), _text(None), _text(None), _uuid(None), _uuid(None), _text(None)),
        *(_about("default", ()), _NO_ANSWER),
    )
)
