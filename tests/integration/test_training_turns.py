"""Several trainers of one machine: they take turns on its devices."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from domain.training import TrainingCancelled, TrainingJob
from domain.training_progress import Progress
from tests.integration.processes import eventually
from tests.integration.trainings import CONFIG, Place, in_a_process_of_its_own, never, training_processes


@pytest.fixture
def place(tiny_model: Path, tmp_path: Path) -> Place:
    return Place(tiny_model, tmp_path)


@pytest.fixture
def first(place: Place) -> Iterator[BaseProcess]:
    """A trainer in a process of its own, which has made a step of very many."""
    job = replace(place.job(), config=replace(CONFIG, max_steps=100_000))
    trainer, steps = in_a_process_of_its_own(place, job)
    wait_for_a_step(steps)
    yield trainer
    trainer.kill()
    trainer.join()


def wait_for_a_step(steps: Connection) -> None:
    steps.recv()


def second_job(place: Place) -> TrainingJob:
    return replace(place.job(run=2), adapter_name="team@2", config=replace(CONFIG, max_steps=1))


def log_of(place: Place, job: TrainingJob) -> str:
    file = place.trainer().log_file(job.run_id)
    return file.read_text() if file.exists() else ""


def test_a_trainer_waits_for_another_ones_training_and_goes_on_when_that_is_killed(
    place: Place, first: BaseProcess
) -> None:
    job, heard = second_job(place), list[Progress]()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(place.trainer().train, job, heard.append, never)
        eventually(lambda: f"waits for device cpu, on which a training of process {first.pid} is" in log_of(place, job))
        assert len(training_processes(place)) == 1
        first.kill()
        assert waiting.result().name == "team@2"
    assert [progress.step for progress in heard] == [1]


def test_a_cancel_is_heard_while_a_trainer_waits(place: Place, first: BaseProcess) -> None:
    job = second_job(place)
    with pytest.raises(TrainingCancelled, match="while it waited for its turn"):
        place.trainer().train(job, lambda _: None, cancelled=lambda: "waits for" in log_of(place, job))
    assert first.is_alive()
    assert len(training_processes(place)) == 1
