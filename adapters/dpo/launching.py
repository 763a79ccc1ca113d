"""Starts the process that trains, or several that train together, and follows what it reports."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from loguru import logger

from adapters.dpo.standstill import StandstillWatch
from adapters.embedded.logs import LogFile
from adapters.embedded.tether import tethered
from domain.training_progress import Progress

PROGRAM = "adapters.dpo.process"
POLL_SECONDS = 0.5
SECONDS_FOR_LAST_WORDS = 5.0

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "OMP_", "COVERAGE_")


class TrainingProcess:
    """A running `adapters.dpo.process`, or `accelerate launch` with several of them, and the pipe on which it reports.
    The pipe has a name, beside the job's file, since what accelerate starts inherits nothing else."""

    def __init__(
        self,
        job_file: Path,
        log: LogFile,
        environment: Mapping[str, str],
        grace_seconds: float,
        standstill_seconds: float,
        processes: int = 1,
    ) -> None:
        self._grace_seconds = grace_seconds
        self.stood_still = False
        reports = job_file.with_name("reports")
        reports.unlink(missing_ok=True)
        os.mkfifo(reports, 0o600)
        reading = os.open(reports, os.O_RDONLY | os.O_NONBLOCK)
        self._held = os.open(reports, os.O_WRONLY)  # so that the pipe does not end before the process has opened it
        os.set_blocking(reading, True)
        try:
            with log.open() as output:
                self._process = subprocess.Popen(
                    tethered([*launcher(processes), "-m", PROGRAM, str(job_file), str(reports)], signal.SIGKILL),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                )
        except BaseException:
            os.close(reading)
            os.close(self._held)
            raise
        self._watch = StandstillWatch(self._process.pid, standstill_seconds, launches=processes > 1)
        self._reports: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=self._listen, args=[reading], daemon=True).start()
        threading.Thread(target=self._let_go, daemon=True).start()

    @property
    def returncode(self) -> int:
        """Waits for the end. Negative: the signal that killed it."""
        return self._process.wait()

    def follow(self, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Passes progress on until the process ends; returns its last report, empty if it died before any.

        Whatever the callbacks raise ends the process, and so does that it stands still, or goes on after its last word.
        """
        last: dict[str, Any] = {}
        kill_at = math.inf
        try:
            while True:
                if kill_at == math.inf and cancelled():
                    self._process.terminate()
                    kill_at = time.monotonic() + self._grace_seconds
                elif kill_at == math.inf and self._watch.stands_still():
                    self.stood_still = True
                    self._watch.abort()
                    kill_at = time.monotonic() + SECONDS_FOR_LAST_WORDS
                if time.monotonic() > kill_at:
                    self._process.kill()
                try:
                    line = self._reports.get(timeout=POLL_SECONDS)
                except Empty:
                    continue
                if line is None:
                    break
                if "failed" in last:  # what the other processes say of it is less to the point
                    continue
                last = json.loads(line)
                match last:
                    case {"progress": values}:
                        on_progress(Progress(**values))
                    case {"started": {"device": device, "step": step}}:
                        logger.info("training on {} from step {}", device, step)
                    case {"failed": _}:
                        self._process.terminate()
                        kill_at = time.monotonic() + self._grace_seconds
                    case {"finished": _} | {"cancelled": _}:
                        kill_at = time.monotonic() + self._grace_seconds
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

    def _let_go(self) -> None:
        self._process.wait()
        os.close(self._held)


def launcher(processes: int) -> list[str]:
    """What starts a module: Python, or accelerate for several processes at once. Which of them are on GPUs, and how
    they talk to each other, follows from the job's device."""
    if processes == 1:
        return [sys.executable]
    options = {
        "--num_processes": processes,
        "--num_machines": 1,
        "--main_process_port": 0,
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
    }
    given = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *given]


def scrubbed(environment: Mapping[str, str], processes: int = 1) -> dict[str, str]:
    """What a training process may know: where programs are and which GPUs to use. No tokens, no hub, no telemetry."""
    kept = {
        name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    # TRL would spread a batch over every GPU that it sees, which would make another adapter.
    kept.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(processes))))
    # Threads that spin while they wait take the cores from each other when other processes work too: on two busy cores
    # a step took 18 s, and 6 s like this.
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # see devices.compute_alike
        "PYTHONHASHSEED": "0",  # PEFT writes a set into adapter_config.json
        "WANDB_DISABLED": "true",
    }
