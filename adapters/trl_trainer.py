"""Trains adapters in a process of their own: starts it, passes its progress on, and reads what became of it.

A training survives whatever is killed. The child keeps checkpoints in the run's folder; the next `train` of the same
job, here or after a restart, goes on from there and ends with the same adapter as an unbroken run.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from loguru import logger
from pydantic import ValidationError

from adapters.artifacts import ADAPTER_WEIGHTS, PublishedAdapters, sha256_of, write_whole
from adapters.dpo.failures import why_it_died, why_it_raised
from adapters.dpo.job import DpoJob
from adapters.embedded.logs import LogFile
from adapters.embedded.tether import tethered
from adapters.lora_passport import read_passport
from domain.training import Progress, TrainedAdapter, TrainingCancelled, TrainingFailed, TrainingJob

KILLS_SURVIVED = 2
"""How often one `train` starts a child again that somebody else ended, before it calls that a failure."""

POLL_SECONDS = 0.5

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "OMP_", "COVERAGE_")


class TrlTrainer:
    """Fulfils domain.ports.Trainer with TRL's DPOTrainer and PEFT's LoRA.

    `base_model_dir` holds the base model's safetensors and tokenizer; its name is the base model's. `work_dir` gets a
    folder per run until the run is forgotten, `log_dir` a log per run for good. `device`: `auto` (one GPU where there
    is one), `cpu` or `cuda`. A cancelled child that does not stop within `grace_seconds` is killed; its last checkpoint
    stays.
    """

    def __init__(
        self,
        base_model_dir: Path,
        artifacts_dir: Path,
        work_dir: Path,
        log_dir: Path,
        device: str = "auto",
        checkpoint_every: int = 4,
        grace_seconds: float = 120,
    ) -> None:
        self._base_model = base_model_dir.name
        self._base_model_dir = base_model_dir.resolve()
        self._adapters = PublishedAdapters(artifacts_dir.resolve())
        self._work_dir = work_dir.resolve()
        self._log_dir = log_dir.resolve()
        self._device = device
        self._checkpoint_every = checkpoint_every
        self._grace_seconds = grace_seconds

    def log_file(self, run_id: UUID) -> Path:
        """Where everything is that the libraries said during that run."""
        return self._log_dir / f"training-{run_id}.log"

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        """Blocks until the adapter is published. A job that was published before gives the same answer at once.

        `on_progress` hears of every step, and again of those repeated after a kill; what it raises ends the child and
        is passed on. `cancelled` is asked about twice a second. Raises TrainingCancelled, and TrainingFailed with the
        reason and the end of the log.
        """
        if job.base_model != self._base_model:
            raise TrainingFailed(f"this trainer has {self._base_model!r}, not {job.base_model!r}: ask for what it has")
        log = LogFile(self.log_file(job.run_id))
        kills = 0
        while not self._adapters.path(job.adapter_name).exists():
            try:
                process = self._start(job, log)
            except OSError as error:
                raise failure(why_it_raised(error), log) from error
            report = process.follow(on_progress, cancelled)
            if "finished" not in report and cancelled():
                raise TrainingCancelled("the training was cancelled; its checkpoint is kept")
            if "failed" in report:
                raise failure(report["failed"], log)
            # A child that hears SIGTERM reports `cancelled` and exits with 0, whoever sent it.
            returncode = -signal.SIGTERM if "cancelled" in report else process.returncode
            if returncode in (-signal.SIGKILL, -signal.SIGTERM) and kills < KILLS_SURVIVED:
                kills += 1
                logger.warning("the process of training run {} was ended by another; it goes on", job.run_id)
            elif returncode:
                raise failure(why_it_died(returncode), log)
        return self._published(job)

    def forget(self, run_id: UUID) -> None:
        """Throws the run's folder away, with its checkpoints: nobody will go on with it."""
        shutil.rmtree(self._folder(run_id), ignore_errors=True)

    def _published(self, job: TrainingJob) -> TrainedAdapter:
        """What the adapter's passport says, if this run made it."""
        folder = self._adapters.path(job.adapter_name)
        try:
            passport, found = read_passport(folder), sha256_of(folder / ADAPTER_WEIGHTS)
        except (FileNotFoundError, ValidationError) as error:
            raise TrainingFailed(f"{folder} is in the way and is no adapter with a passport: move it away") from error
        if passport.training_run != job.run_id:
            raise TrainingFailed(
                f"{job.adapter_name} is taken by training run {passport.training_run}: train under the next revision"
            )
        if found != passport.sha256:
            raise TrainingFailed(f"{folder} holds other weights than its passport names: move it away, and train anew")
        return TrainedAdapter(
            name=passport.adapter,
            sha256=found,
            base_model=passport.base_model,
            base_sha256=passport.base_sha256,
            pairs=passport.pairs,
            loss_before=passport.metrics.loss_before,
            loss_after=passport.metrics.loss_after,
            seconds=passport.metrics.seconds,
            precision=passport.config.precision,
        )

    def _folder(self, run_id: UUID) -> Path:
        return self._work_dir / str(run_id)

    def _start(self, job: TrainingJob, log: LogFile) -> TrainingProcess:
        folder = self._folder(job.run_id)
        temporary = folder / "tmp"
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        dpo_job = DpoJob(
            job=job,
            base_model_dir=self._base_model_dir,
            artifacts_dir=self._adapters.artifacts_dir,
            folder=folder,
            device=self._device,
            checkpoint_every=self._checkpoint_every,
        )
        job_file = folder / "job.json"
        write_whole(job_file, [dpo_job.to_json()])
        environment = scrubbed(os.environ) | {"TMPDIR": str(temporary), "HF_HOME": str(folder / "huggingface")}
        return TrainingProcess(job_file, log, environment, self._grace_seconds)


class TrainingProcess:
    """A running `adapters.dpo.process`, and the pipe on which it reports."""

    def __init__(self, job_file: Path, log: LogFile, environment: Mapping[str, str], grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        reading, writing = os.pipe()
        try:
            command = [sys.executable, "-m", "adapters.dpo.process", str(job_file), str(writing)]
            with log.open() as output:
                self._process = subprocess.Popen(
                    tethered(command, signal.SIGKILL),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                    pass_fds=[writing],
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reports: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=self._listen, args=[reading], daemon=True).start()

    @property
    def returncode(self) -> int:
        """Waits for the end. Negative: the signal that killed it."""
        return self._process.wait()

    def follow(self, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Passes progress on until the process ends; returns its last report, empty if it died before any.

        Whatever the callbacks raise ends the process.
        """
        last: dict[str, Any] = {}
        kill_at = math.inf
        try:
            while True:
                if kill_at == math.inf and cancelled():
                    self._process.terminate()
                    kill_at = time.monotonic() + self._grace_seconds
                if time.monotonic() > kill_at:
                    self._process.kill()
                try:
                    line = self._reports.get(timeout=POLL_SECONDS)
                except Empty:
                    continue
                if line is None:
                    break
                last = json.loads(line)
                match last:
                    case {"progress": values}:
                        on_progress(Progress(**values))
                    case {"started": {"device": device, "step": step}}:
                        logger.info("training on {} from step {}", device, step)
        except BaseException:
            self._process.kill()
            raise
        finally:
            self._process.wait()
        return last

    def _listen(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as reports:
            for line in reports:
                self._reports.put(line)
        self._reports.put(None)


def failure(reason: str, log: LogFile) -> TrainingFailed:
    """The reason, and what the libraries said last."""
    tail = log.tail()
    return TrainingFailed(f"{reason}. Its log is {log.path}" + (f" and ends with:\n{tail}" if tail else ""))


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a training process may know: where programs are and which GPU to use. No tokens, no hub, no telemetry."""
    kept = {
        name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    # TRL would spread a batch over every GPU that it sees, which would make another adapter.
    kept.setdefault("CUDA_VISIBLE_DEVICES", "0")
    # Threads that spin while they wait take the cores from each other when other processes work too: on two busy cores
    # a step took 18 s, and 6 s like this.
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",  # PEFT writes a set into adapter_config.json
        "WANDB_DISABLED": "true",
    }
