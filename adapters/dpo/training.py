"""The training itself: TRL's DPOTrainer with PEFT's LoRA, one GPU or the CPU. Only the child process imports this.

Checkpoints are TRL's own, lie in the run's private folder, and are read back with torch's `weights_only`; nothing of
them is published. A training that goes on from one ends with the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch.utils.data import Sampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.training_args import TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.artifacts import ADAPTER_WEIGHTS, PublishedAdapters, sha256_of
from adapters.dpo.failures import Diverged, NoGpu
from adapters.dpo.job import DpoJob
from adapters.dpo.pairs import BadDataset, WeightedPair, weighted_order
from adapters.durable_files import write_private
from adapters.lora_passport import Metrics, Passport
from domain.training import Progress

REPORTED = ("loss", "rewards/margins", "rewards/accuracies")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")

Report = Callable[..., None]
"""Tells the parent one thing by its name: `report(progress={...})`."""


def train(job: DpoJob, pairs: Sequence[WeightedPair], report: Report, stopping: Callable[[], bool]) -> None:
    """Goes on from the last whole checkpoint, to the end or until asked to stop."""
    began = time.monotonic()
    job = with_precision(job)
    config = job.job.config
    set_seed(config.seed)
    trainer = WeightedDPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            job.base_model_dir,
            dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
            use_safetensors=True,
            local_files_only=True,
        ),
        args=dpo_config(job),
        train_dataset=Dataset.from_list([asdict(pair) for pair in pairs]),
        processing_class=AutoTokenizer.from_pretrained(job.base_model_dir, local_files_only=True),
        peft_config=LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=list(config.target_modules),
            task_type="CAUSAL_LM",
        ),
        callbacks=[ProgressCallback(report, stopping)],
    )
    if not stopping():
        checkpoint = last_whole_checkpoint(job.folder)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < config.steps:
        report(cancelled=trainer.state.global_step)
        return
    publish(job, trainer, seconds=time.monotonic() - began)
    report(finished=None)


def dpo_config(job: DpoJob) -> DPOConfig:
    """TRL's settings. Its own defaults for bf16, gradient checkpointing and learning rate suit large GPUs only."""
    config = job.job.config
    return DPOConfig(
        output_dir=str(job.folder),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant",
        beta=config.beta,
        loss_type=list(config.loss),
        loss_weights=list(config.loss_weights),
        max_length=config.max_length,
        bf16=config.precision == "bf16",
        gradient_checkpointing=False,
        precompute_ref_log_probs=True,
        # TRL's way to switch dropout off would take LoRA's own with it.
        disable_dropout=config.lora_dropout == 0,
        use_cpu=uses_cpu(job.device),
        seed=config.seed,
        logging_steps=1,
        save_steps=job.checkpoint_every,
        save_total_limit=2,
        disable_tqdm=True,
        report_to="none",
    )


def with_precision(job: DpoJob) -> DpoJob:
    """The same job, with `auto` settled, once for all its tries: one that goes on computes as it began, and the
    passport names what that was."""
    config = job.job.config
    if config.precision != "auto":
        return job
    settled = job.folder / "precision"
    if not settled.exists():
        write_private(settled, "bf16" if computes_bf16(job.device) else "fp32")
    return replace(job, job=replace(job.job, config=replace(config, precision=settled.read_text())))


def computes_bf16(device: str) -> bool:
    """Whether that device has instructions for it, and PyTorch uses them. Emulated, a step takes up to sixty times as
    long as in fp32: so it was measured on a processor with no more than AVX2."""
    if not uses_cpu(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able, used = torch.cpu.get_capabilities(), torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return used and any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def uses_cpu(device: str) -> bool:
    """Raises NoGpu, where TRL would quietly train on the CPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise NoGpu("the device is to be cuda, but PyTorch sees no GPU: set it to auto or cpu")
    return device == "cpu" or not torch.cuda.is_available()


def publish(job: DpoJob, trainer: WeightedDPOTrainer, seconds: float) -> None:
    """Writes the adapter, its passport and its card, and puts all of them in place at once."""
    base_sha256 = sha256_of_weights(job.base_model_dir)
    model = cast(PeftModel, trainer.model)
    lora = cast(LoraConfig, model.peft_config["default"])
    lora.base_model_name_or_path, lora.revision = job.job.base_model, base_sha256
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    data = trainer.pairs
    with PublishedAdapters(job.artifacts_dir).publishing(job.job.adapter_name) as folder:
        model.save_pretrained(str(folder), save_embedding_layers=False)
        passport = Passport(
            adapter=job.job.adapter_name,
            sha256=sha256_of(folder / ADAPTER_WEIGHTS),
            training_run=job.job.run_id,
            base_model=job.job.base_model,
            base_sha256=base_sha256,
            dataset_id=job.job.dataset_id,
            dataset_sha256=job.job.dataset_sha256,
            position=job.job.position,
            pairs=len(data),
            config=job.job.config,
            libraries={name: version(name) for name in LIBRARIES},
            metrics=Metrics(
                loss_before=float(steps[0]["loss"]),
                loss_after=float(steps[-1]["loss"]),
                margin=float(steps[-1]["rewards/margins"]),
                accuracy=float(steps[-1]["rewards/accuracies"]),
                reference_logp_chosen=sum(data["ref_chosen_logps"]) / len(data),
                reference_logp_rejected=sum(data["ref_rejected_logps"]) / len(data),
                seconds=seconds,
            ),
        )
        passport.write(folder)


def sha256_of_weights(model_dir: Path) -> str:
    """One file's own hash; of weights in several files, the hash of their hashes in the order of their names."""
    hashes = [sha256_of(file) for file in sorted(model_dir.glob("*.safetensors"))]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def last_whole_checkpoint(folder: Path) -> Path | None:
    """Throws away a checkpoint that a kill left half written: its state file, the last one written, does not parse."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    for checkpoint in newest_first:
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (FileNotFoundError, ValueError):
            shutil.rmtree(checkpoint)
        else:
            return checkpoint
    return None


class WeightedDPOTrainer(DPOTrainer):
    """TRL's, but it draws pairs in proportion to their column `weight`, in one long pass over all steps."""

    @property
    def pairs(self) -> Dataset:
        """The tokenized pairs with their reference log-probabilities."""
        return cast(Dataset, self.train_dataset)

    def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Dataset:
        """TRL drops pairs whose prompt alone fills max_length, and stumbles when no pair is left."""
        prepared = super()._prepare_dataset(*args, **kwargs)
        if not len(prepared):
            raise BadDataset("every prompt alone fills max_length: raise it")
        return prepared

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return FixedOrder(weighted_order(self.pairs["weight"], self.args.max_steps * batch, self.args.seed))


class FixedOrder(Sampler[int]):
    """The pairs in an order that is settled beforehand, so that a resumed run can find its place in it."""

    def __init__(self, order: list[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


class ProgressCallback(TrainerCallback):
    """Reports each step, and stops the training with a checkpoint when that was asked for."""

    def __init__(self, report: Report, stopping: Callable[[], bool]) -> None:
        self._report = report
        self._stopping = stopping

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step
        self._report(started={"device": str(args.device), "step": state.global_step})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._stopping():
            control.should_training_stop = control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        loss, margin, accuracy = (measured(logs, name, state.global_step) for name in REPORTED)
        step_seconds = (time.monotonic() - self._began) / (state.global_step - self._first_step)
        samples = args.train_batch_size * args.gradient_accumulation_steps
        progress = Progress(
            step=state.global_step,
            total_steps=state.max_steps,
            loss=loss,
            margin=margin,
            accuracy=accuracy,
            seconds_left=step_seconds * (state.max_steps - state.global_step),
            samples_per_second=samples / step_seconds,
        )
        self._report(progress=asdict(progress))


def measured(logs: Mapping[str, Any], name: str, step: int) -> float:
    """That number of the trainer's. Raises Diverged where it is none."""
    value = float(logs[name])
    if not math.isfinite(value):
        raise Diverged(f"{name} is {value} at step {step}: lower learning_rate")
    return value
