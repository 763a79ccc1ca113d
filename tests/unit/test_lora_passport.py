from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import yaml

from adapters.lora_passport import Metrics, Passport, model_card, read_passport
from domain.training import Reference, StartingPoint
from domain.training_config import TrainingConfig
from domain.training_health import HealthCode

PASSPORT = Passport(
    adapter="team@1",
    sha256="a" * 64,
    training_run=UUID(int=1),
    base_model="smollm2-135m-instruct",
    base_sha256="b" * 64,
    dataset_id=UUID(int=2),
    dataset_sha256="c" * 64,
    position=42,
    pairs=32,
    config=TrainingConfig(),
    libraries={"trl": "1.16.0"},
    metrics=Metrics(
        loss_before=0.69,
        loss_after=0.11,
        margin=2.2,
        accuracy=1.0,
        reference_logp_chosen=-50.3,
        reference_logp_rejected=-34.7,
        seconds=40.0,
    ),
)


def test_a_passport_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    PASSPORT.write(tmp_path)
    assert read_passport(tmp_path) == PASSPORT
    assert (tmp_path / "README.md").read_text() == model_card(PASSPORT)


def test_a_passport_of_before_weights_acted_in_the_loss_says_how_they_did(tmp_path: Path) -> None:
    PASSPORT.write(tmp_path)
    file = tmp_path / "passport.json"
    old = json.loads(file.read_text())
    for new in ("start_from", "steps", "stopped_by", "weighting"):
        del old[new]
    old["config"] = {"steps": 7, "lora_rank": 4, "batch_size": 2, "loss": ["ipo"], "loss_weights": [1.0]}
    file.write_text(json.dumps(old))
    passport = read_passport(tmp_path)
    assert passport.weighting == "sampling/1"
    assert passport.config == TrainingConfig(
        max_steps=7, r=4, per_device_train_batch_size=2, loss_type=("ipo",), loss_weights=(1.0,)
    )


def test_a_card_says_what_made_it_and_where_the_current_one_is() -> None:
    card = model_card(replace(PASSPORT, caravan="0.1.0+abc", machine="Linux x86_64", device="cpu"))
    assert "caravan 0.1.0+abc, trl 1.16.0, machine Linux x86_64, device cpu" in card
    assert "caravan adapters reproduce team@1" in card
    assert "GET /v1/adapters/team@1/passport" in card


def test_a_card_tells_of_the_round_before_and_of_an_early_stop() -> None:
    start = StartingPoint("team@0", "d" * 64, "b" * 64, Reference.START)
    card = model_card(replace(PASSPORT, start_from=start, steps=9, stopped_by=HealthCode.SATURATED))
    assert "after 9 steps, stopped early by `saturated`" in card
    assert "team@0" in card


def test_the_card_begins_with_what_the_hub_wants_to_know() -> None:
    _, front_matter, text = model_card(PASSPORT).split("---\n", 2)
    assert yaml.safe_load(front_matter) == {
        "base_model": "smollm2-135m-instruct",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["dpo", "lora", "trl"],
    }
    assert "0.6900 before, 0.1100 after" in text
