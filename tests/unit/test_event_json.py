"""No event is stored that could not be read again, and none is read as something that it is not."""

from __future__ import annotations

import builtins
import json
import re
import types
from dataclasses import field, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from eventsourcing.domain import AggregateEvent, CanInitAggregate
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from adapters import event_json
from adapters.event_json import PlainJsonMapper
from domain.catalogue import EVENT_TYPES, aggregate_topic, schema_version
from domain.job import Json
from domain.model_call import Usage
from tests import story
from tests.builders import NOW, a_preference, a_started_workflow, a_step, a_workflow

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), FLOAT, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
ANY: dict[object, st.SearchStrategy[Any]] = {
    str: TEXT,
    float: FLOAT,
    datetime: st.datetimes(timezones=st.just(UTC)),
    Json: st.dictionaries(TEXT, JSON, max_size=3),
}


def any_value(kind: Any) -> st.SearchStrategy[Any]:
    """Of a type that an event's field may have."""
    if is_dataclass(kind):
        return an_instance(cast(type, kind))
    match get_origin(kind), get_args(kind):
        case (builtins.tuple, (item, _)):
            return st.lists(any_value(item), max_size=3).map(tuple)
        case (builtins.dict, (_, value)) if kind not in ANY:
            return st.dictionaries(TEXT, any_value(value), max_size=3)
        case (types.UnionType, kinds):
            return st.one_of(map(any_value, kinds))
        case _:
            return ANY[kind] if kind in ANY else st.from_type(kind)


def an_instance(kind: type, **known: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    parts = {field.name: any_value(hints[field.name]) for field in fields(cast(Any, kind)) if field.name not in known}
    return st.builds(kind, **parts, **{name: st.just(value) for name, value in known.items()})


def a_recorded_step(**changes: Any) -> AggregateEvent:
    run, step = a_started_workflow(), a_step()
    run.record_step(1, replace(step, call=replace(step.call, **changes)), at=NOW)
    [*_, event] = run.pending_events
    assert isinstance(event, AggregateEvent)
    return event


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "changes",
    [
        {"usage": Usage(1.5, 2)},  # type: ignore[arg-type]
        {"model_revision": 123},
        {"model_revision": "\ud800"},
        {"finish_reason": "\x00"},
        {"output": "a backslash and NUL: \\\x00"},
        {"score": float("nan")},
    ],
)
def test_what_could_not_be_read_or_kept_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PlainJsonMapper().to_stored_event(a_recorded_step(**changes))


@pytest.mark.parametrize(
    "output",
    [
        r"\u0000 is written like this",
        "\\\\u0000",
        "\u241b0000",
        "caf\u00e9 \U0001f600",
        f'"class_version":{schema_version(EVENT_TYPES["workflow.step_recorded"])}',
    ],
)
def test_every_other_text_comes_back_as_it_was(output: str) -> None:
    mapper, event = PlainJsonMapper(), a_recorded_step(output=output)
    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event


@pytest.mark.parametrize("topic", EVENT_TYPES)
@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_whatever_an_event_holds_comes_back_as_it_was(topic: str, data: st.DataObject) -> None:
    mapper, kind = PlainJsonMapper(), EVENT_TYPES[topic]
    known: dict[str, Any] = {"originator_id": UUID(int=1), "originator_version": 1}
    if issubclass(kind, CanInitAggregate):
        known["originator_topic"] = aggregate_topic(topic)
    event = data.draw(an_instance(kind, **known))
    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event


@pytest.mark.parametrize("end", ['"class_version":{}}}', ',"class_version":{}}}', '\\",\\"class_version\\":{}'])
def test_a_text_at_the_end_that_reads_like_a_version_says_nothing_of_it(end: str) -> None:
    (event,) = a_preference().pending_events
    stored = PlainJsonMapper().to_stored_event(event)
    data = from_json(stored.state)
    former = {name: value for name, value in data.items() if name not in {"source", "support", "class_version"}}
    state = to_json(former | {"more": end.format(schema_version(type(event)))})
    assert PlainJsonMapper().to_domain_event(replace(stored, state=state)) == event


def test_spaces_around_a_version_do_not_matter() -> None:
    (event,) = a_preference().pending_events
    stored = PlainJsonMapper().to_stored_event(event)
    state = json.dumps(from_json(stored.state)).encode()
    assert PlainJsonMapper().to_domain_event(replace(stored, state=state)) == event


def test_what_the_store_knows_of_an_event_outweighs_its_data() -> None:
    (event,) = a_workflow().pending_events
    stored = PlainJsonMapper().to_stored_event(event)
    assert isinstance(event, CanInitAggregate)
    lies = {"originator_id": str(UUID(int=0)), "originator_version": 99, "originator_topic": "preference", "more": 1}
    state = to_json(from_json(stored.state) | lies)
    stored = StoredEvent(stored.originator_id, stored.originator_version, stored.topic, state)
    assert PlainJsonMapper().to_domain_event(stored) == event


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"5",
        b"[]",
        b'{"passport": null}',
        b'["class_version"]',
        b"\xff",
        b'{"epoch": 1}',
        b'{"epoch": "1", "timestamp": "2026-11-01T00:00:00Z"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda state: state[:20].decode(errors="replace"),
)
@pytest.mark.parametrize("topic", ["workflow.step_recorded", "lora_adapter.registered"])
def test_data_that_does_not_fit_is_refused_by_the_name_of_its_event(state: bytes, topic: str) -> None:
    stored = StoredEvent(UUID(int=1), 2, topic, state)
    with pytest.raises(ValueError, match=f"this is no {re.escape(topic)}: "):
        PlainJsonMapper().to_domain_event(stored)


class Noted(AggregateEvent):
    TOPIC = "parcel.noted"
    notes: tuple[str, ...] = field(default_factory=tuple)
    grams: int = 0


def test_what_was_left_out_is_as_the_event_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENT_TYPES, Noted.TOPIC, Noted)
    stored = StoredEvent(UUID(int=1), 1, Noted.TOPIC, to_json({"timestamp": NOW}))
    event = PlainJsonMapper().to_domain_event(stored)
    assert event == Noted(originator_id=UUID(int=1), originator_version=1, timestamp=NOW)


def test_every_form_is_at_hand_before_two_threads_could_make_it_at_once() -> None:
    made = event_json._form, event_json._writer
    for each in made:
        each.cache_clear()
    mapper = PlainJsonMapper()
    before = [each.cache_info().misses for each in made]
    for event in story.events():
        assert mapper.to_domain_event(mapper.to_stored_event(event)) == event
    assert [each.cache_info().misses for each in made] == before
