"""Writes a sample of each event type, and its schema, to tests/fixtures/events: `python -m tests.golden_events`.

A sample is the stored form of a version of an event; the schema beside it says what other events of that version may
hold. Both are written once and then kept: events like these lie in somebody's database. So this only adds what is
missing; a change of form needs a new version and an upcaster beside the event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from difflib import unified_diff
from pathlib import Path
from typing import Any

from eventsourcing.domain import AggregateEvent
from jsonschema import Draft202012Validator

from adapters.event_json import payload
from domain.catalogue import schema_version, upcaster
from domain.events import topic_of
from tests import story
from tests.event_schemas import schema_of

FOLDER = Path(__file__).parent / "fixtures" / "events"

Json = dict[str, Any]


def sample_file(event_type: type[AggregateEvent], version: int, folder: Path = FOLDER) -> Path:
    """Where the sample of that version lies."""
    return folder / f"{topic_of(event_type)}.v{version}.json"


def schema_file(event_type: type[AggregateEvent], version: int, folder: Path = FOLDER) -> Path:
    """Where the schema of that version lies, beside its sample."""
    return sample_file(event_type, version, folder).with_suffix(".schema.json")


def read(file: Path) -> Json:
    """A sample or a schema."""
    found: Json = json.loads(file.read_text(encoding="utf-8"))
    return found


def samples() -> dict[str, AggregateEvent]:
    """An event of each type, by topic: the first of the story, and so always the same."""
    found: dict[str, AggregateEvent] = {}
    for event in story.events():
        found.setdefault(topic_of(type(event)), event)
    return found


def write_missing(event: AggregateEvent, folder: Path = FOLDER) -> None:
    """The files of its type's newest version. Those that are there stay as they are."""
    event_type = type(event)
    version = schema_version(event_type)
    sample = {
        "topic": topic_of(event_type),
        "originator_id": str(event.originator_id),
        "originator_version": event.originator_version,
        "data": payload(event),
    }
    for file, content in (
        (sample_file(event_type, version, folder), sample),
        (schema_file(event_type, version, folder), schema_of(event_type)),
    ):
        if not file.exists():
            file.write_text(_text(content) + "\n", encoding="utf-8")


def problems(event_type: type[AggregateEvent], folder: Path = FOLDER) -> Iterator[str]:
    """What keeps events of that type from being read as they were meant, each with what to do about it."""
    topic, newest = topic_of(event_type), schema_version(event_type)
    missing = [
        file.name
        for version in range(1, newest + 1)
        for file in (sample_file(event_type, version, folder), schema_file(event_type, version, folder))
        if not file.exists()
    ]
    if missing:
        yield f"{', '.join(missing)}: missing; run `python -m tests.golden_events`, and commit what it writes"
        return
    if sample_file(event_type, newest + 1, folder).exists():
        yield f"{topic} had a version {newest + 1} already: set class_version to what it was"
    known, now = read(schema_file(event_type, newest, folder)), schema_of(event_type)
    if known != now:
        yield (
            f"{topic} has another form than its version {newest}. Raise class_version to {newest + 1}, write "
            f"upcast_v{newest}_v{newest + 1} beside the event, run `python -m tests.golden_events`, and commit what it "
            f"writes:\n{_difference(known, now)}"
        )
    for version in range(1, newest):
        yield from _problems_of_step(event_type, version, folder)


def _problems_of_step(event_type: type[AggregateEvent], version: int, folder: Path) -> Iterator[str]:
    """From that version to the next, tried on its sample."""
    name = f"upcast_v{version}_v{version + 1} of {topic_of(event_type)}"
    data = read(sample_file(event_type, version, folder))["data"]
    given = deepcopy(data)
    try:
        upcast = upcaster(event_type, version)
        made, again = upcast(data), upcast(deepcopy(given))
    except Exception as error:  # whatever an upcaster raises, an event of somebody's history cannot be read
        yield f"{name} fails on the sample of version {version}: {error!r}"
        return
    if data != given:
        yield f"{name} changes what it is given: let it return a new dict"
    if made != again:
        yield f"{name} makes two things of the same event: let it depend on nothing else"
    validator = Draft202012Validator(read(schema_file(event_type, version + 1, folder)))
    for misfit in validator.iter_errors(made):
        yield f"{name} makes of its sample what is no version {version + 1}: {misfit.json_path}: {misfit.message}"


def _difference(known: Json, now: Json) -> str:
    return "\n".join(unified_diff(*(_text(schema).splitlines() for schema in (known, now)), "saved", "now", n=2))


def _text(content: Json) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    for event in samples().values():
        write_missing(event)
