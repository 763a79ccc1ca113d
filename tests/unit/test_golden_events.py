"""Every event that was ever stored can still be read, and what is written is what was written before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.event_json import UnknownEvent, event_from, payload
from domain.catalogue import EVENT_TYPES
from domain.events import topic_of
from tests.golden_events import FOLDER, sample_file, samples

FILES = sorted(FOLDER.glob("*.json"))


def load(file: Path) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return sample


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_every_event_type_has_a_sample(topic: str):
    assert sample_file(EVENT_TYPES[topic]).exists(), "run `python -m tests.golden_events`, and commit what it writes"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stored_event_can_be_read_and_says_what_it_is(file: Path):
    sample = load(file)
    event = event_from(sample["topic"], sample["data"], UUID(sample["originator_id"]), sample["originator_version"])
    assert topic_of(type(event)) == sample["topic"]
    if file == sample_file(type(event)):
        assert payload(event) == sample["data"], "its shape changed: give it a new version, and an upcaster"


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_an_event_is_written_with_the_keys_of_its_sample(topic: str):
    event = samples()[topic]
    assert shape(payload(event)) == shape(load(sample_file(type(event)))["data"])


def test_an_event_that_nobody_knows_is_refused():
    with pytest.raises(UnknownEvent, match=r"workflow\.exploded"):
        event_from("workflow.exploded", {}, UUID(int=1), 1)


def shape(value: Any) -> Any:
    """Keys and kinds of values, all the way down."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value).__name__
