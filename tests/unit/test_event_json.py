"""No event is stored that could not be read again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eventsourcing.domain import AggregateEvent

from adapters.event_json import PlainJsonMapper
from domain.model_call import Usage
from tests.builders import NOW, a_started_workflow, a_step


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


@pytest.mark.parametrize("output", [r"\u0000 is written like this", "\\\\u0000", "\u241b0000", "caf\u00e9 \U0001f600"])
def test_every_other_text_comes_back_as_it_was(output: str) -> None:
    mapper, event = PlainJsonMapper(), a_recorded_step(output=output)
    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event
