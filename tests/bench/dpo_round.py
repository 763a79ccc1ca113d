"""One round of the benchmark `dpo`, in a process of its own, whose children's memory is then nobody else's:

    python -m tests.bench.dpo_round ours|asked|bare FOLDER PAIRS.jsonl BASE_MODEL

Prints a JSON object: the median seconds of a step after the first, the MiB at the peak, and the seconds in all, gone
and computed. With `script` for `bare` it is that bare script of TRL, and prints the second at which each step ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from adapters.dpo.launching import scrubbed
from adapters.trl_trainer import TrlTrainer
from domain.training import TrainingJob
from domain.training_config import TrainingConfig
from tests.bench.dpo import BATCH, MAX_LENGTH

CONFIG = TrainingConfig(
    max_steps=int(os.environ.get("BENCH_DPO_STEPS", "-1")),
    per_device_train_batch_size=BATCH,
    learning_rate=5e-5,
    max_length=MAX_LENGTH,
    loss_type=("sigmoid",),
    loss_weights=(1.0,),
    precision="fp32",
)


def ours(folder: Path, pairs: Path, base: Path, precompute: bool) -> list[float]:
    """When each step ended."""
    ends: list[float] = []
    trainer = TrlTrainer(
        base, folder / "artifacts", folder / "work", folder / "logs", device="cpu", checkpoint_every=99
    )
    config = replace(CONFIG, precompute_ref_log_probs=precompute)
    sha256 = hashlib.sha256(pairs.read_bytes()).hexdigest()
    job = TrainingJob(UUID(int=1), "bench@1", UUID(int=2), str(pairs), sha256, 1, base.name, config)
    trainer.train(job, lambda _progress: ends.append(time.monotonic()), lambda: False)
    return ends


def bare(folder: Path, pairs: Path, base: Path) -> list[float]:
    """The same, of TRL's own in a process of its own, with the environment that ours has."""
    command = [sys.executable, "-m", "tests.bench.dpo_round", "script", str(folder), str(pairs), str(base)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=scrubbed(os.environ))
    ends: list[float] = json.loads(done.stdout.splitlines()[-1])
    return ends


def script(folder: Path, pairs: Path, base: Path) -> list[float]:
    """What somebody would write who has TRL and nothing else."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                ends.append(time.monotonic())

    DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(folder),
            max_steps=CONFIG.max_steps,
            num_train_epochs=CONFIG.num_train_epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=CONFIG.learning_rate,
            lr_scheduler_type=CONFIG.lr_scheduler_type,
            max_length=MAX_LENGTH,
            precompute_ref_log_probs=True,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            seed=CONFIG.seed,
            logging_steps=1,
            save_steps=99,
            report_to="none",
        ),
        train_dataset=Dataset.from_json(str(pairs)),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(
            r=CONFIG.r,
            lora_alpha=CONFIG.lora_alpha,
            target_modules=list(CONFIG.target_modules),
            task_type="CAUSAL_LM",
        ),
        callbacks=[Clock()],
    ).train()
    return ends


def main(kind: str, folder: Path, pairs: Path, base: Path) -> None:
    """One round of that kind."""
    folder.mkdir(exist_ok=True)
    if kind == "script":
        _tell(script(folder, pairs, base))
        return
    began = time.monotonic()
    ends = bare(folder, pairs, base) if kind == "bare" else ours(folder, pairs, base, precompute=kind == "ours")
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "step_seconds": median(later - earlier for earlier, later in pairwise(ends)),
        "peak_mib": used.ru_maxrss / 1024,
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }
    _tell(found)


def _tell(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
