"""Events as plain JSON that any language can read, and back; only the topics of the catalogue are ever loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, NotRequired, TypedDict, cast, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import AggregateEvent, CanInitAggregate, DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent
from pydantic import TypeAdapter
from pydantic_core import from_json

from domain.catalogue import EVENT_TYPES, aggregate_topic, schema_version, upcaster
from domain.errors import DomainError
from domain.events import topic_of

IDENTITY = {"originator_id", "originator_version", "originator_topic"}
"""What the store keeps in columns of its own, or the topic says already."""
_NUMBERED = b'"class_version"'
"""In the data of an event that says its version, as we write it; within a text, its quotes are escaped."""
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; a backslash before `u0000` that is itself text is written twice."""


class UnknownEvent(DomainError, ValueError):
    """A stored row names an event, or a version of one, that this version of Caravan does not know. HTTP 503."""

    status = 503


@cache
def _writer(event_type: type[AggregateEvent]) -> TypeAdapter[AggregateEvent]:
    return TypeAdapter(event_type)


@dataclass(frozen=True, slots=True)
class _Form:
    """How one type's events are read: looked up once, as every event passes here. `newest` is the version that needs no
    upcaster, and data that ends with one of `ends` is of it. `given` is what the topic says already, and `decoder`
    reads all the rest but the identity."""

    newest: int
    ends: tuple[bytes, ...]
    given: Mapping[str, Any]
    decoder: msgspec.json.Decoder[dict[str, Any]]


@cache
def _form(event_type: type[AggregateEvent]) -> _Form:
    created = issubclass(event_type, CanInitAggregate)
    given = {"originator_topic": aggregate_topic(topic_of(event_type))} if created else {}
    newest = schema_version(event_type)
    return _Form(newest, _ends(newest), given, msgspec.json.Decoder(_data_type(event_type)))


def _ends(newest: int) -> tuple[bytes, ...]:
    """Of data whose last value is this version, as we write it. A quote after a comma is none within a text."""
    return tuple(
        b',%b"class_version":%b%d}' % (before, after, newest) for before in (b"", b" ") for after in (b"", b" ")
    )


def _data_type(event_type: type[AggregateEvent]) -> Any:
    """A TypedDict of the event's fields but for its identity. What has a default may be missing."""
    types = get_type_hints(event_type, include_extras=True)
    needed = {each.name: each.default is MISSING and each.default_factory is MISSING for each in fields(event_type)}
    own = {name: types[name] if needed[name] else NotRequired[types[name]] for name in needed if name not in IDENTITY}
    return TypedDict(event_type.__name__, own)  # type: ignore[operator]  # mypy knows none that is made at run time


def payload(event: AggregateEvent) -> dict[str, Any]:
    """The event's own data as JSON values: no identity, no envelope."""
    data: dict[str, Any] = _writer(type(event)).dump_python(event, mode="json", exclude=IDENTITY)
    return data


def event_from(topic: str, state: bytes, originator_id: UUID, originator_version: int) -> AggregateEvent:
    """The event of that topic, its data brought up to the newest version by the upcasters beside its class.

    Raises UnknownEvent, or ValueError where the data does not fit.
    """
    event_type = EVENT_TYPES.get(topic)
    if event_type is None:
        raise UnknownEvent(f"no event is called {topic!r}; was this store written by a newer Caravan?")
    form = _form(event_type)
    try:
        if _is_newest(state, form):  # as nearly always: straight from the bytes
            data = form.decoder.decode(state)
        else:
            stored = from_json(state, allow_inf_nan=False)
            data = msgspec.convert(_newest_form(event_type, form.newest, stored), form.decoder.type)
    except UnknownEvent:
        raise
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # upcasters take the form as given
        raise ValueError(f"this is no {topic}: {error}") from error
    return event_type(originator_id=originator_id, originator_version=originator_version, **form.given, **data)


def _is_newest(state: bytes, form: _Form) -> bool:
    """Whether data is of that version without a doubt; False where one must look closer."""
    return _NUMBERED not in state if form.newest == 1 else state.endswith(form.ends)


def _newest_form(event_type: type[AggregateEvent], newest: int, data: dict[str, Any]) -> dict[str, Any]:
    """Raises UnknownEvent for data of a version that is not ours to read."""
    data = dict(data)
    version = data.pop("class_version", 1)
    if not isinstance(version, int) or not 1 <= version <= newest:
        raise UnknownEvent(
            f"this is version {version!r} of {topic_of(event_type)}, and this Caravan knows it up to version {newest}; "
            "a newer Caravan wrote it: bring this process to that version too"
        )
    for step in range(version, newest):
        data = upcaster(event_type, step)(data)
    return data


class PlainJsonMapper(Mapper[UUID]):
    """The library's mapper, with plain JSON where it would write `{"_type_": ...}` and import what a row names."""

    def __init__(self) -> None:
        """Has every event's forms at hand from here on. To make them, msgspec writes into the classes that pydantic
        goes through: two commands that did so at once could crash the process."""
        for event_type in EVENT_TYPES.values():
            _form(event_type)
            _writer(event_type)

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Raises ValueError for what could not be read again or kept in a read model: values of other types than the
        event's, NUL, and what is not JSON (lone surrogates, NaN)."""
        if not isinstance(domain_event, AggregateEvent):
            raise TypeError(f"{type(domain_event).__qualname__} is no event of ours")
        event_type = type(domain_event)
        data = payload(domain_event)
        if (version := schema_version(event_type)) > 1:
            data["class_version"] = version
        state = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if _NUL.search(state):
            raise ValueError(
                f"{topic_of(event_type)} holds a NUL character, which Postgres cannot keep: escape it first"
            )
        stored = StoredEvent(domain_event.originator_id, domain_event.originator_version, topic_of(event_type), state)
        self.to_domain_event(stored)
        return stored

    def to_domain_event(self, stored_event: StoredEvent) -> AggregateEvent:
        """Raises UnknownEvent or ValueError."""
        id = cast(UUID, stored_event.originator_id)
        return event_from(stored_event.topic, stored_event.state, id, stored_event.originator_version)
