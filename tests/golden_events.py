"""Writes a sample of each event type to tests/fixtures/events: `python -m tests.golden_events`.

A sample is the stored form of a version of an event. It is written once and then kept: events like it lie in somebody's
database. So this only adds what is missing; a change of shape needs a new version and an upcaster beside the event.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventsourcing.domain import AggregateEvent

from adapters.event_json import payload
from domain.catalogue import schema_version
from domain.events import topic_of
from tests import story

FOLDER = Path(__file__).parent / "fixtures" / "events"


def sample_file(event_type: type[AggregateEvent]) -> Path:
    """Where the sample of the type's newest version lies."""
    return FOLDER / f"{topic_of(event_type)}.v{schema_version(event_type)}.json"


def samples() -> dict[str, AggregateEvent]:
    """An event of each type, by topic: the first of the story, and so always the same."""
    found: dict[str, AggregateEvent] = {}
    for event in story.events():
        found.setdefault(topic_of(type(event)), event)
    return found


def sample_of(event: AggregateEvent) -> dict[str, Any]:
    """What goes into the file."""
    return {
        "topic": topic_of(type(event)),
        "originator_id": str(event.originator_id),
        "originator_version": event.originator_version,
        "data": payload(event),
    }


def write_missing() -> None:
    """Leaves the samples that are there as they are."""
    for event in samples().values():
        file = sample_file(type(event))
        if not file.exists():
            file.write_text(json.dumps(sample_of(event), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_missing()
