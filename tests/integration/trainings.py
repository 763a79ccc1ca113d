"""The same training in different ways: without a break, cancelled, killed, ended by somebody else."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from adapters.artifacts import DatasetFolder, PublishedAdapters
from adapters.trl_trainer import TrlTrainer
from domain.training import TrainedAdapter, TrainingCancelled, TrainingJob
from domain.training_config import TrainingConfig
from domain.training_progress import Progress
from tests.integration.processes import eventually, kill_9, lives

CONFIG = TrainingConfig(
    max_steps=6, per_device_train_batch_size=2, learning_rate=5e-3, lora_dropout=0.1, max_length=64, max_pairs=5, seed=7
)
DATASET = UUID(int=1)


@dataclass(frozen=True)
class Place:
    """Folders of one trainer's own. It can be sent to another process."""

    base_model: Path
    root: Path
    standstill_seconds: float = 30
    checkpoint_every: int = 2

    def trainer(self) -> TrlTrainer:
        return TrlTrainer(
            self.base_model,
            self.root / "artifacts",
            self.root / "work",
            self.root / "logs",
            device="cpu",
            checkpoint_every=self.checkpoint_every,
            standstill_seconds=self.standstill_seconds,
        )

    def adapter(self, name: str) -> Path:
        return PublishedAdapters(self.root / "artifacts").path(name)

    def job(self, lines: list[bytes] | None = None, run: int = 1) -> TrainingJob:
        file, sha256, _ = DatasetFolder(self.root / "artifacts").write(DATASET, lines or some_pairs())
        return TrainingJob(UUID(int=run), "team@1", DATASET, str(file), sha256, 42, self.base_model.name, CONFIG)


@dataclass(frozen=True)
class Trained:
    """A training that came to its end, and the progress that each of its trainers heard of."""

    place: Place
    adapter: TrainedAdapter
    heard: list[list[Progress]]


def without_a_break(place: Place) -> Trained:
    progress: list[Progress] = []
    return Trained(place, place.trainer().train(place.job(), progress.append, never), [progress])


def cancelled_once(place: Place) -> Trained:
    """At the third step."""
    before: list[Progress] = []
    with pytest.raises(TrainingCancelled):
        place.trainer().train(place.job(), before.append, cancelled=lambda: len(before) >= 3)
    assert not place.adapter("team@1").exists()
    after: list[Progress] = []
    return Trained(place, place.trainer().train(place.job(), after.append, never), [before, after])


def killed_twice(place: Place) -> Trained:
    """First the trainer at the third step, then the process of the one after it."""
    trainer, steps = in_a_process_of_its_own(place, place.job())
    while steps.recv() < 3:
        pass
    [child] = training_processes(place)
    trainer.kill()
    eventually(lambda: not lives(child))
    trainer.join()

    after: list[Progress] = []

    def kill_at_the_first_step(progress: Progress) -> None:
        after.append(progress)
        if len(after) == 1:
            kill_9(*training_processes(place))

    return Trained(place, place.trainer().train(place.job(), kill_at_the_first_step, never), [after])


def killed_before_any_checkpoint(place: Place) -> Trained:
    """Its process, at the first step, or soon after it: so no step makes a checkpoint."""
    place = replace(place, checkpoint_every=CONFIG.max_steps)
    progress: list[Progress] = []

    def kill_at_the_first_step(step: Progress) -> None:
        progress.append(step)
        if len(progress) == 1:
            kill_9(*training_processes(place))

    return Trained(place, place.trainer().train(place.job(), kill_at_the_first_step, never), [progress])


def ended_by_somebody_and_made_to_stand_still(place: Place) -> Trained:
    """With SIGTERM at the third step, and the process after it with SIGSTOP at its first."""
    progress: list[Progress] = []
    ended, stopped = list[int](), list[int]()

    def disturb(step: Progress) -> None:
        progress.append(step)
        [child, *_] = training_processes(place) or [0]
        if len(progress) == 3:
            ended.append(child)
            psutil.Process(child).terminate()
        elif ended and not stopped and child not in ended:
            stopped.append(child)
            psutil.Process(child).suspend()

    adapter = place.trainer().train(place.job(), disturb, never)
    assert stopped
    return Trained(place, adapter, [progress])


def some_pairs() -> list[bytes]:
    """Six pairs that prefer one word to another; the last weighs too little to be among five."""

    def said(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    rows = [
        {
            "prompt": said("user", f"What comes after {n}?"),
            "chosen": said("assistant", "Ahoy, that be the next one!"),
            "rejected": said("assistant", f"The number {n + 1}."),
            "weight": weight,
            "preference_id": str(UUID(int=n)),
        }
        for n, weight in enumerate([1.0, 0.5, 0.75, 1.0, 0.25, 0.1])
    ]
    return [json.dumps(row).encode() + b"\n" for row in rows]


def never() -> bool:
    return False


def in_a_process_of_its_own(place: Place, job: TrainingJob) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """A trainer at work on that job, and the steps that it reports."""
    spawn = multiprocessing.get_context("spawn")
    reading, writing = spawn.Pipe(duplex=False)
    process = spawn.Process(target=train_and_tell, args=(place, job, writing))
    process.start()
    return process, reading


def train_and_tell(place: Place, job: TrainingJob, steps: Connection) -> None:
    tell: Callable[[Progress], None] = lambda progress: steps.send(progress.step)  # noqa: E731
    place.trainer().train(job, tell, never)


def training_processes(place: Place) -> list[int]:
    """Of that place alone: others train at the same time."""
    job, found = str(place.root / "work"), list[int]()
    for process in psutil.Process().children(recursive=True):  # not all that there are: to look at them takes too long
        with suppress(psutil.NoSuchProcess):
            said = process.cmdline()
            if "adapters.dpo.process" in said and job in " ".join(said):
                found.append(process.pid)
    return found
