from __future__ import annotations

from pathlib import Path
from uuid import UUID

import yaml

from adapters.lora_passport import Metrics, Passport, model_card, read_passport
from domain.training_config import TrainingConfig

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


def test_the_card_begins_with_what_the_hub_wants_to_know() -> None:
    _, front_matter, text = model_card(PASSPORT).split("---\n", 2)
    assert yaml.safe_load(front_matter) == {
        "base_model": "smollm2-135m-instruct",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["dpo", "lora", "trl"],
    }
    assert "0.6900 before, 0.1100 after" in text
