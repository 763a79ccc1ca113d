"""An earlier round's adapter must be what was registered, in its weights and in the form that gives them meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from adapters.artifacts import ADAPTER_WEIGHTS, PublishedAdapters, sha256_of
from adapters.dpo.failures import BadStart
from adapters.dpo.job import DpoJob
from adapters.dpo.rounds import starting_adapter
from domain.training import Reference, StartingPoint, TrainingJob
from domain.training_config import TrainingConfig
from tests.builders import SHA, an_id

CONFIG = TrainingConfig(r=2, lora_alpha=4, target_modules=("q_proj", "v_proj"))


@pytest.fixture
def base() -> nn.Module:
    shape = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)
    return LlamaForCausalLM(shape)


@pytest.fixture
def adapter(base: nn.Module, tmp_path: Path) -> Path:
    """The folder of team@1, as PEFT writes it."""
    folder = PublishedAdapters(tmp_path).path("team@1")
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj", "q_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(base, lora)
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.save_pretrained(str(folder))
    model.unload()
    return folder


@pytest.fixture
def job(adapter: Path, tmp_path: Path) -> DpoJob:
    start = StartingPoint("team@1", sha256_of(adapter / ADAPTER_WEIGHTS), SHA, Reference.START)
    job = TrainingJob(an_id("run"), "team@2", an_id("data"), "pairs.jsonl", SHA, 1, "tiny", CONFIG, start)
    return DpoJob(job, Path(), tmp_path, tmp_path, "cpu", 4)


def test_an_adapter_as_it_was_registered_is_gone_on_from(job: DpoJob, base: nn.Module) -> None:
    found = starting_adapter(job, base, SHA)
    assert found is not None
    assert found.name == "team@1"


@pytest.mark.parametrize(("name", "value"), [("lora_alpha", 64), ("use_rslora", True)])
def test_a_form_that_was_changed_on_disk_is_refused(
    job: DpoJob, base: nn.Module, adapter: Path, name: str, value: object
) -> None:
    """The weights are what they were, and would say something else."""
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(BadStart, match=f"adapter_config.json has {name} {value}.*, and team@1 was registered with"):
        starting_adapter(job, base, SHA)


@pytest.mark.parametrize(("name", "value"), [("r", 4), ("target_modules", ("q_proj",))])
def test_an_adapter_of_another_form_than_the_jobs_is_refused(
    job: DpoJob, base: nn.Module, name: str, value: object
) -> None:
    asked = replace(job, job=replace(job.job, config=replace(CONFIG, **{name: value})))
    with pytest.raises(BadStart, match=f"has {name} "):
        starting_adapter(asked, base, SHA)


def test_weights_are_compared_by_their_whole_hash(job: DpoJob, base: nn.Module) -> None:
    start = job.job.start_from
    assert start is not None
    other = replace(start, sha256=start.sha256[:16] + "0" * 48)
    with pytest.raises(BadStart, match="holds other weights than were registered"):
        starting_adapter(replace(job, job=replace(job.job, start_from=other)), base, SHA)


def test_base_weights_of_another_hash_are_refused(job: DpoJob, base: nn.Module) -> None:
    with pytest.raises(BadStart, match="go on from an adapter of the same base"):
        starting_adapter(job, base, "cd" * 32)
