"""The training itself: TRL's DPOTrainer with PEFT's LoRA, on GPUs or the CPU. Only processes that train import this.

Checkpoints are TRL's own, lie in the run's private folder, and are read back with torch's `weights_only`; nothing of
them is published. A training that goes on from one ends with the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from adapters.artifacts import ADAPTER_WEIGHTS, PublishedAdapters, sha256_of
from adapters.code_version import code_version
from adapters.dpo.checkpoints import KEPT_PAIRS, last_whole_checkpoint
from adapters.dpo.devices import compute_alike, must_have_gpus, uses_cpu, with_precision
from adapters.dpo.job import DpoJob
from adapters.dpo.options import dpo_config, lora_config, must_have_its_layers
from adapters.dpo.pairs import WeightedPair
from adapters.dpo.reporting import AskedToStop, ProgressCallback, Report
from adapters.dpo.rounds import starting_adapter
from adapters.dpo.weighting import WeightedDPOTrainer
from adapters.lora_passport import Metrics, Passport
from domain.training import Reference
from domain.training_health import HealthCode
from domain.weighting import WEIGHED_LOSS

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")


def train(job: DpoJob, pairs: Sequence[WeightedPair], report: Report, stopping: Callable[[], bool]) -> None:
    """Goes on from the last whole checkpoint, to the end, to an early stop, or until asked to stop."""
    began = time.monotonic()
    must_have_gpus(job.device, job.job.config.num_processes)
    compute_alike(job.device)
    processes = PartialState(cpu=uses_cpu(job.device))
    with processes.main_process_first():
        job = with_precision(job)
        checkpoint = last_whole_checkpoint(job.folder, job.job.config.num_processes)
        dataset = kept_dataset(job.folder / KEPT_PAIRS, pairs)
    base_sha256 = sha256_of_weights(job.base_model_dir)
    job.must_have_its_base(base_sha256)
    watch = ProgressCallback(report, stopping, job.job.config.early_stop)
    try:
        trainer = prepared(job, dataset, base_sha256, watch)
    except AskedToStop:
        report(cancelled=0)
        return
    # What came before may have been kept from an earlier try, which then drew no numbers for it.
    set_seed(job.job.config.seed)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.state.max_steps and not watch.stopped_by:
        report(cancelled=trainer.state.global_step)
        return
    if processes.is_main_process:
        publish(job, trainer, base_sha256, watch.stopped_by, seconds=time.monotonic() - began)
        report(finished=None)


def prepared(job: DpoJob, dataset: Dataset, base_sha256: str, watch: ProgressCallback) -> WeightedDPOTrainer:
    """All that comes before the first step: the model is loaded, and the reference asked about the pairs. Raises
    AskedToStop."""
    config, start_from = job.job.config, job.job.start_from
    set_seed(config.seed)
    base = AutoModelForCausalLM.from_pretrained(
        job.base_model_dir,
        dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
        use_safetensors=True,
        local_files_only=True,
    )
    watch.heed()
    must_have_its_layers(job, base)
    trainer = WeightedDPOTrainer(
        model=base,
        args=dpo_config(job),
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(job.base_model_dir, local_files_only=True),
        peft_config=lora_config(config),
        callbacks=[watch],
        start=starting_adapter(job, base, base_sha256),
        reference=start_from.reference if start_from else Reference.BASE,
        heed=watch.heed,
    )
    watch.heed()
    return trainer


def kept_dataset(folder: Path, pairs: Sequence[WeightedPair]) -> Dataset:
    """The pairs on disk, where all processes find what TRL makes of them, its reference log-probabilities too; and so
    does the next try, after a kill."""
    if not folder.exists():
        writing = Path(tempfile.mkdtemp(prefix=".pairs.", dir=folder.parent))
        Dataset.from_list([pair.columns() for pair in pairs]).save_to_disk(str(writing))
        writing.rename(folder)
    return Dataset.load_from_disk(str(folder))


def publish(
    job: DpoJob, trainer: WeightedDPOTrainer, base_sha256: str, stopped_by: HealthCode | None, seconds: float
) -> None:
    """Writes the adapter, its passport and its card, and puts all of them in place at once."""
    model = cast(PeftModel, trainer.model)
    lora = cast(LoraConfig, model.peft_config["default"])
    lora.base_model_name_or_path, lora.revision = job.job.base_model, base_sha256
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
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
            pairs=len(trainer.pairs),
            config=job.job.config,
            libraries={name: version(name) for name in LIBRARIES},
            metrics=Metrics(
                loss_before=float(steps[0]["loss"]),
                loss_after=float(steps[-1]["loss"]),
                margin=float(steps[-1]["rewards/margins"]),
                accuracy=float(steps[-1]["rewards/accuracies"]),
                reference_logp_chosen=trainer.mean_of("ref_chosen_logps"),
                reference_logp_rejected=trainer.mean_of("ref_rejected_logps"),
                seconds=seconds,
            ),
            start_from=job.job.start_from,
            steps=trainer.state.global_step,
            stopped_by=stopped_by,
            weighting=WEIGHED_LOSS,
            caravan=code_version(),
            machine=f"{platform.system()} {platform.machine()}",
            device=_device_of(trainer),
        )
        passport.write(folder)


def _device_of(trainer: WeightedDPOTrainer) -> str:
    device = trainer.args.device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)


def sha256_of_weights(model_dir: Path) -> str:
    """One file's own hash; of weights in several files, the hash of their hashes in the order of their names."""
    hashes = [sha256_of(file) for file in sorted(model_dir.glob("*.safetensors"))]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
