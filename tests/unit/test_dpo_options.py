"""A configuration's options reach TRL and PEFT by their own names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from peft import LoraConfig
from trl.trainer.dpo_config import DPOConfig

from adapters.dpo.job import DpoJob
from adapters.dpo.options import CARAVANS, LORA, dpo_config, lora_config
from domain.training import TrainingJob
from domain.training_config import RENAMED, TrainingConfig
from tests.builders import SHA, an_id

CONFIG = TrainingConfig(
    max_steps=-1,
    num_train_epochs=2.0,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=3,
    learning_rate=1e-5,
    lr_scheduler_type="cosine",
    warmup_steps=4,
    weight_decay=0.01,
    max_grad_norm=0.5,
    beta=0.3,
    loss_type=("robust", "ipo"),
    loss_weights=(1.0, 0.5),
    label_smoothing=0.2,
    max_length=128,
    precompute_ref_log_probs=False,
    gradient_checkpointing=True,
    seed=5,
    r=4,
    lora_alpha=8,
    lora_dropout=0.1,
    target_modules=("q_proj",),
    use_rslora=True,
    precision="fp32",
)
DEFAULTS = TrainingConfig()


def names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_every_option_is_one_of_trl_of_peft_or_of_caravan() -> None:
    trl = names(TrainingConfig) - {*LORA, *CARAVANS}
    assert trl <= names(DPOConfig)
    assert set(LORA) <= names(LoraConfig)
    assert not set(CARAVANS) & (names(DPOConfig) | names(LoraConfig))
    assert set(RENAMED.values()) <= names(TrainingConfig)
    assert not RENAMED.keys() & names(TrainingConfig)


def test_what_is_asked_for_is_what_they_get(tmp_path: Path) -> None:
    job = TrainingJob(an_id("run"), "team@1", an_id("data"), "pairs.jsonl", SHA, 1, "tiny", CONFIG)
    trl, peft = dpo_config(DpoJob(job, Path(), Path(), tmp_path, "cpu", 7)), lora_config(CONFIG)
    for name in names(TrainingConfig) - {*CARAVANS}:
        asked, got = getattr(CONFIG, name), getattr(peft if name in LORA else trl, name)
        assert asked != getattr(DEFAULTS, name), f"{name} would be the default anyway"
        assert got == (set(asked) if name == "target_modules" else list(asked) if isinstance(asked, tuple) else asked)
    assert (trl.bf16, trl.save_steps, trl.disable_dropout) == (False, 7, False)
