"""Trains adapters in a process of their own: starts it, passes its progress on, and reads what became of it.

A training survives whatever is killed. The child keeps checkpoints in the run's folder; the next `train` of the same
job, here or after a restart, goes on from there and ends with the same adapter as an unbroken run.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from loguru import logger
from pydantic import ValidationError

from adapters.artifacts import ADAPTER_WEIGHTS, PublishedAdapters, sha256_of, write_whole
from adapters.dpo.failures import why_it_died, why_it_raised
from adapters.dpo.job import DpoJob
from adapters.dpo.launching import TrainingProcess, scrubbed
from adapters.dpo.turns import devices_of, take_turn
from adapters.embedded.errors import EmbeddedError
from adapters.embedded.logs import LogFile
from adapters.lora_passport import read_passport
from domain.training import TrainedAdapter, TrainingCancelled, TrainingFailed, TrainingJob
from domain.training_progress import Progress

KILLS_SURVIVED = 2
"""How often one `train` starts a child again that somebody else ended, before it calls that a failure."""


class TrlTrainer:
    """Fulfils domain.ports.training.Trainer with TRL's DPOTrainer and PEFT's LoRA.

    `base_model_dir` holds the base model's safetensors and tokenizer; its name is the base model's. `work_dir` gets a
    folder per run until the run is forgotten, and locks: of all trainers that share it, one trains on a device at a
    time. `log_dir` gets a log per run for good. `device`: `auto` (a GPU for each process where there are some), `cpu`
    or `cuda`. A cancelled child that does not stop within `grace_seconds` is killed, and so is one that used no
    processor for `standstill_seconds`; its last checkpoint stays.
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
        standstill_seconds: float = 300,
    ) -> None:
        self._base_model = base_model_dir.name
        self._base_model_dir = base_model_dir.resolve()
        self._adapters = PublishedAdapters(artifacts_dir.resolve())
        self._work_dir = work_dir.resolve()
        self._log_dir = log_dir.resolve()
        self._device = device
        self._checkpoint_every = checkpoint_every
        self._grace_seconds = grace_seconds
        self._standstill_seconds = standstill_seconds

    def log_file(self, run_id: UUID) -> Path:
        """Where everything is that the libraries said during that run."""
        return self._log_dir / f"training-{run_id}.log"

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        """Blocks until the adapter is published, and before that until the devices are free. A job that was published
        before gives the same answer at once.

        `on_progress` hears of every step, and again of those repeated after a kill; what it raises ends the child and
        is passed on. `cancelled` is asked about twice a second. Raises TrainingCancelled, and TrainingFailed with the
        reason and the end of the log.
        """
        if job.base_model != self._base_model:
            raise TrainingFailed(f"this trainer has {self._base_model!r}, not {job.base_model!r}: ask for what it has")
        if not self._adapters.path(job.adapter_name).exists():
            log = LogFile(self.log_file(job.run_id))
            with self._turn(job, log, cancelled):
                self._make(job, log, on_progress, cancelled)
        return self._published(job)

    def forget(self, run_id: UUID) -> None:
        """Throws the run's folder away, with its checkpoints: nobody will go on with it."""
        shutil.rmtree(self._folder(run_id), ignore_errors=True)

    def _turn(self, job: TrainingJob, log: LogFile, cancelled: Callable[[], bool]) -> AbstractContextManager[object]:
        """Within it the devices are this training's alone. Raises TrainingCancelled or TrainingFailed."""

        def say(words: str) -> None:
            logger.info("training run {} {}", job.run_id, words)
            with log.open() as lines:
                lines.write(f"{words}\n".encode())

        devices = devices_of(self._device, scrubbed(os.environ, job.config.num_processes))
        try:
            log.open().close()  # whoever looks for it sees that it is here
            return take_turn(self._work_dir / "devices", devices, cancelled, say)
        except (OSError, EmbeddedError) as error:
            raise failure(why_it_raised(error), log) from error

    def _make(
        self, job: TrainingJob, log: LogFile, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> None:
        """Until the adapter is there. Raises TrainingCancelled or TrainingFailed."""
        kills = 0
        while not self._adapters.path(job.adapter_name).exists():
            try:
                process = self._start(job, log)
            except OSError as error:
                raise failure(why_it_raised(error), log) from error
            report = process.follow(on_progress, cancelled)
            if "finished" in report:
                break
            if cancelled():
                raise TrainingCancelled("the training was cancelled; its checkpoint is kept")
            if "failed" in report:
                raise failure(report["failed"], log)
            # A child that hears SIGTERM reports `cancelled` and exits with 0, whoever sent it.
            returncode = -signal.SIGTERM if "cancelled" in report else process.returncode
            # Of several processes, one that is killed leaves the launcher to end with 1.
            killed = returncode in (-signal.SIGKILL, -signal.SIGTERM) or (returncode and job.config.num_processes > 1)
            if (killed or process.stood_still) and kills < KILLS_SURVIVED:
                kills += 1
                why = "stood still, its log says where" if process.stood_still else "was ended by another"
                logger.warning("the process of training run {} {}; it goes on", job.run_id, why)
            elif process.stood_still:
                raise failure("the training process stands still again and again", log)
            elif returncode:
                raise failure(why_it_died(returncode), log)

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
            steps=passport.steps,
            stopped_by=passport.stopped_by,
            weighting=passport.weighting,
            made_with=passport.made_with,
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
        processes = job.config.num_processes
        environment = scrubbed(os.environ, processes) | {
            "TMPDIR": str(temporary),
            "HF_HOME": str(folder / "huggingface"),
        }
        return TrainingProcess(job_file, log, environment, self._grace_seconds, self._standstill_seconds, processes)


def failure(reason: str, log: LogFile) -> TrainingFailed:
    """The reason, and what the libraries said last."""
    tail = log.tail()
    return TrainingFailed(f"{reason}. Its log is {log.path}" + (f" and ends with:\n{tail}" if tail else ""))
