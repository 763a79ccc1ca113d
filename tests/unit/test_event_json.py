"""No event is stored that could not be read again, and none is read as something that it is not."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.domain import AggregateEvent, CanInitAggregate
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from adapters.event_json import PlainJsonMapper
from domain.catalogue import EVENT_TYPES, aggregate_topic
from domain.model_call import Usage
from tests.builders import NOW, a_started_workflow, a_step, a_workflow

st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))


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
    "output", [r"\u0000 is written like this", "\\\\u0000", "\u241b0000", "caf\u00e9 \U0001f600", '"class_version":2']
)
def test_every_other_text_comes_back_as_it_was(output: str) -> None:
    mapper, event = PlainJsonMapper(), a_recorded_step(output=output)
    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event


@pytest.mark.parametrize("topic", EVENT_TYPES)
@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_whatever_an_event_holds_comes_back_as_it_was(topic: str, data: st.DataObject) -> None:
    mapper, kind = PlainJsonMapper(), EVENT_TYPES[topic]
    known = {"originator_topic": st.just(aggregate_topic(topic))} if issubclass(kind, CanInitAggregate) else {}
    event = data.draw(st.builds(kind, **known))
    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event


def test_what_the_store_knows_of_an_event_outweighs_its_data() -> None:
    (event,) = a_workflow().pending_events
    stored = PlainJsonMapper().to_stored_event(event)
    assert isinstance(event, CanInitAggregate)
    lies = {"originator_id": str(UUID(int=0)), "originator_version": 99, "originator_topic": "preference", "more": 1}
    state = to_json(from_json(stored.state) | lies)
    stored = StoredEvent(stored.originator_id, stored.originator_version, stored.topic, state)
    assert PlainJsonMapper().to_domain_event(stored) == event


@pytest.mark.parametrize("state", [b"", b"[]", b'{"epoch": 1}', b'{"epoch": "1", "timestamp": "2026-11-01T00:00:00Z"}'])
def test_data_that_does_not_fit_is_refused_by_the_name_of_its_event(state: bytes) -> None:
    stored = StoredEvent(UUID(int=1), 2, "workflow.step_recorded", state)
    with pytest.raises(ValueError, match=r"this is no workflow\.step_recorded: "):
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
