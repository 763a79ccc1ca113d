"""Every event that was ever stored can still be read, and what is written is what was written before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic_core import to_json

from adapters.event_json import UnknownEvent, event_from, payload
from domain.catalogue import EVENT_TYPES, schema_version
from domain.events import topic_of
from tests.golden_events import FOLDER, problems, read, sample_file, samples
from tests.kept import NoHistory, altered

SAMPLES = sorted(set(FOLDER.glob("*.json")) - set(FOLDER.glob("*.schema.json")))


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_every_event_has_the_form_that_its_version_was_saved_with(topic: str):
    if found := "\n".join(problems(EVENT_TYPES[topic])):
        pytest.fail(found)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_stored_event_can_be_read_and_says_what_it_is(file: Path):
    sample = read(file)
    version = int(file.stem.rpartition(".v")[2])
    stored = sample["data"] | {"class_version": version}
    event = event_from(sample["topic"], to_json(stored), UUID(sample["originator_id"]), sample["originator_version"])
    assert topic_of(type(event)) == sample["topic"]
    if version == schema_version(type(event)):
        assert payload(event) == sample["data"]


@pytest.mark.parametrize("topic", ["training_run.requested", "lora_adapter.registered"])
def test_a_configuration_of_before_auto_means_bf16_where_it_names_nothing(topic: str):
    data = json.loads((FOLDER / f"{topic}.v1.json").read_text())["data"]
    config = data.get("passport", data)["config"]
    del config["precision"]
    event: Any = event_from(topic, to_json(data), UUID(int=1), 2)
    assert getattr(event, "passport", event).config.precision == "bf16"


@pytest.mark.parametrize("topic", ["training_run.requested", "lora_adapter.registered"])
def test_a_configuration_of_before_options_had_their_names_keeps_its_values(topic: str):
    data = json.loads((FOLDER / f"{topic}.v2.json").read_text())["data"]
    stored = data.get("passport", data)["config"]
    stored |= {"steps": 7, "batch_size": 3, "gradient_accumulation": 2, "lora_rank": 5, "loss": ["ipo"]}
    event: Any = event_from(topic, to_json(data | {"class_version": 2}), UUID(int=1), 2)
    config = getattr(event, "passport", event).config
    assert (config.max_steps, config.per_device_train_batch_size, config.gradient_accumulation_steps) == (7, 3, 2)
    assert (config.r, config.loss_type) == (5, ("ipo",))
    assert getattr(event, "passport", event).start_from is None


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_fits_the_schema_beside_it(file: Path):
    Draft202012Validator(read(file.with_suffix(".schema.json"))).validate(read(file)["data"])


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_an_event_is_written_with_the_keys_of_its_sample(topic: str):
    event = samples()[topic]
    sample = read(sample_file(type(event), schema_version(type(event))))
    assert shape(payload(event)) == shape(sample["data"])


def test_no_sample_and_no_schema_was_rewritten_or_removed():
    try:
        assert altered(FOLDER) == [], "restore them: events like these lie in somebody's database"
    except NoHistory as error:
        pytest.skip(str(error))


def test_an_event_that_nobody_knows_is_refused():
    with pytest.raises(UnknownEvent, match=r"workflow\.exploded"):
        event_from("workflow.exploded", b"{}", UUID(int=1), 1)


def shape(value: Any) -> Any:
    """Keys and kinds of values, all the way down."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value).__name__
