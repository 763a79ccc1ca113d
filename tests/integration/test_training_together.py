"""Two processes that train together under `accelerate launch`, on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from domain.training import TrainedAdapter, TrainingJob
from domain.training_progress import Progress
from tests.integration.processes import kill_9
from tests.integration.trainings import CONFIG, Place, never, training_processes

pytestmark = pytest.mark.timeout(900)

TOGETHER = replace(CONFIG, max_steps=4, per_device_train_batch_size=1, num_processes=2, lora_dropout=0.0)
ALONE = replace(TOGETHER, per_device_train_batch_size=2, num_processes=1)
Heard = tuple[TrainedAdapter, list[Progress]]


def job(place: Place, together: bool = True) -> TrainingJob:
    return replace(place.job(), config=TOGETHER if together else ALONE)


def unbroken(place: Place) -> Heard:
    heard: list[Progress] = []
    return place.trainer().train(job(place), heard.append, never), heard


def alone(place: Place) -> Heard:
    heard: list[Progress] = []
    return place.trainer().train(job(place, together=False), heard.append, never), heard


def one_killed(place: Place) -> Heard:
    """After the checkpoint of the second step, the last one that is made."""
    heard: list[Progress] = []

    def kill_one_after_the_third_step(progress: Progress) -> None:
        heard.append(progress)
        if len(heard) == 3:
            kill_9(workers(place)[-1])

    return place.trainer().train(job(place), kill_one_after_the_third_step, never), heard


def workers(place: Place) -> list[int]:
    """Of that place, without the launcher that started them."""
    found = training_processes(place)
    return [pid for pid in found if "accelerate.commands.launch" not in psutil.Process(pid).cmdline()]


@pytest.fixture(scope="module")
def trainings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Heard]:
    ways = (unbroken, alone, one_killed)
    with ThreadPoolExecutor(max_workers=2) as threads:
        places = [Place(tiny_model, tmp_path_factory.mktemp(way.__name__)) for way in ways]
        return list(threads.map(lambda way, place: way(place), ways, places))


def test_two_processes_learn_from_a_batch_what_one_learns_from_it(trainings: list[Heard]) -> None:
    (_, two), (_, one), _ = trainings
    assert [progress.step for progress in two] == [1, 2, 3, 4]
    assert [progress.loss for progress in two[:2]] == pytest.approx([progress.loss for progress in one[:2]], rel=1e-3)
    assert [progress.kl for progress in two[:2]] == pytest.approx([progress.kl for progress in one[:2]], abs=1e-4)


def test_when_one_process_is_killed_all_go_on_from_the_checkpoint_and_end_the_same(trainings: list[Heard]) -> None:
    (straight, _), _, (survivor, heard) = trainings
    steps = [progress.step for progress in heard]
    assert (steps[:3], steps[3:][-2:]) == ([1, 2, 3], [3, 4])
    assert survivor.sha256 == straight.sha256
