"""A training's configuration as TRL and PEFT take it, which name its options: what is neither PEFT's nor Caravan's goes
to TRL as it is."""

from __future__ import annotations

from dataclasses import asdict

from peft import LoraConfig
from torch import nn
from trl.trainer.dpo_config import DPOConfig

from adapters.dpo.devices import uses_cpu
from adapters.dpo.job import DpoJob
from adapters.model_server.adapter_check import modules_of
from adapters.model_server.model import linear_layers
from domain.errors import Invalid
from domain.training_config import TrainingConfig

LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora")
CARAVANS = ("max_pairs", "precision", "num_processes", "early_stop")


def lora_config(config: TrainingConfig) -> LoraConfig:
    """PEFT's options."""
    chosen = {name: value for name, value in asdict(config).items() if name in LORA}
    return LoraConfig(**chosen | {"target_modules": list(config.target_modules)}, task_type="CAUSAL_LM")


def must_have_its_layers(job: DpoJob, base: nn.Module) -> None:
    """PEFT overlooks a layer that is not there, and then no model server takes the adapter. Raises Invalid."""
    has = modules_of(linear_layers(base))
    if unknown := sorted(set(job.job.config.target_modules) - has):
        raise Invalid(
            f"{job.job.base_model} has no layer {unknown[0]} that an adapter may change; it has "
            f"{', '.join(sorted(has))}: name some of them as target_modules"
        )


def dpo_config(job: DpoJob) -> DPOConfig:
    """TRL's options. Its own defaults for bf16, gradient checkpointing and learning rate suit large GPUs only."""
    config = job.job.config
    theirs = {name: value for name, value in asdict(config).items() if name not in (*LORA, *CARAVANS)}
    return DPOConfig(
        **theirs | {"loss_type": list(config.loss_type), "loss_weights": list(config.loss_weights)},
        output_dir=str(job.folder),
        bf16=config.precision == "bf16",
        # TRL's way to switch dropout off would take LoRA's own with it.
        disable_dropout=config.lora_dropout == 0,
        use_cpu=uses_cpu(job.device),
        logging_steps=1,
        save_steps=job.checkpoint_every,
        save_total_limit=2,
        disable_tqdm=True,
        report_to="none",
    )
