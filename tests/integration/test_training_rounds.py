"""Real trainings, of a tiny model, that go on from an earlier round's adapter, or are stopped early by a warning."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters.artifacts import ADAPTER_WEIGHTS
from adapters.lora_passport import PASSPORT_FILE, read_passport
from domain.training import Reference, StartingPoint, TrainedAdapter, TrainingFailed, TrainingJob
from domain.training_config import TrainingConfig
from domain.training_health import HealthCode
from domain.training_progress import Progress
from tests.integration.trainings import CONFIG, Place, never, without_a_break

ROUND = replace(CONFIG, max_steps=2, lora_dropout=0.0)
Heard = tuple[TrainedAdapter, list[Progress]]


@pytest.fixture(scope="module")
def first(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, TrainedAdapter]:
    """The first round, and the place where it was trained."""
    place = Place(tiny_model, tmp_path_factory.mktemp("rounds"))
    return place, without_a_break(place).adapter


def second(place: Place, start: TrainedAdapter, reference: Reference, config: TrainingConfig = ROUND) -> TrainingJob:
    """A job of the second round. Each reference has an adapter of its own."""
    run = 2 if reference is Reference.START else 3
    start_from = StartingPoint(start.name, start.sha256, start.base_sha256, reference)
    return replace(place.job(run=run), adapter_name=f"team@{run}", config=config, start_from=start_from)


def trained(place: Place, job: TrainingJob) -> Heard:
    heard: list[Progress] = []
    return place.trainer().train(job, heard.append, never), heard


@pytest.fixture(scope="module")
def rounds(first: tuple[Place, TrainedAdapter]) -> dict[Reference, Heard]:
    """A second round near each of the two references."""
    place, start = first
    with ThreadPoolExecutor(max_workers=2) as threads:
        jobs = {reference: second(place, start, reference) for reference in Reference}
        asked = {reference: threads.submit(trained, place, job) for reference, job in jobs.items()}
        return {reference: future.result() for reference, future in asked.items()}


def test_a_second_round_begins_where_the_first_ended(rounds: dict[Reference, Heard]) -> None:
    """As far from the base as the first round went, and nowhere yet from the adapter that it goes on from."""
    near_base, near_start = (rounds[reference][1][0] for reference in (Reference.BASE, Reference.START))
    assert near_base.kl is not None
    assert near_base.kl > 1e-4
    assert near_base.margin > 0
    assert near_start.kl == pytest.approx(0, abs=1e-6)
    assert near_start.margin == pytest.approx(0, abs=1e-4)
    assert near_base.logps_chosen == pytest.approx(near_start.logps_chosen, abs=1e-3)


@pytest.mark.parametrize("reference", Reference)
def test_the_passport_names_the_round_before(
    first: tuple[Place, TrainedAdapter], rounds: dict[Reference, Heard], reference: Reference
) -> None:
    place, start = first
    passport = read_passport(place.adapter(rounds[reference][0].name))
    assert passport.start_from == StartingPoint("team@1", start.sha256, start.base_sha256, reference)
    assert passport.sha256 != start.sha256


def test_a_second_round_has_one_adapter_that_peft_and_the_model_server_take(
    first: tuple[Place, TrainedAdapter], rounds: dict[Reference, Heard]
) -> None:
    place, _ = first
    folder = place.adapter(rounds[Reference.START][0].name)
    assert {file.name for file in folder.iterdir()} == {file.name for file in place.adapter("team@1").iterdir()}
    assert load_file(folder / ADAPTER_WEIGHTS).keys() == load_file(place.adapter("team@1") / ADAPTER_WEIGHTS).keys()


def test_another_base_than_that_of_the_adapter_is_refused(first: tuple[Place, TrainedAdapter], tmp_path: Path) -> None:
    place, start = first
    elsewhere = Place(place.base_model, tmp_path)
    job = second(elsewhere, replace(start, base_sha256="0" * 64), Reference.BASE)
    with pytest.raises(TrainingFailed, match="team@1 was trained for base weights 0000"):
        trained(elsewhere, job)


def test_weights_that_are_not_those_that_were_registered_are_refused(
    first: tuple[Place, TrainedAdapter], tmp_path: Path
) -> None:
    place, start = first
    elsewhere = Place(place.base_model, tmp_path)
    with pytest.raises(TrainingFailed, match="team@1 is not in"):
        trained(elsewhere, second(elsewhere, start, Reference.BASE))
    folder = elsewhere.adapter("team@1")
    shutil.copytree(place.adapter("team@1"), folder)
    weights = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: torch.zeros_like(weight) for name, weight in weights.items()}, folder / ADAPTER_WEIGHTS)
    with pytest.raises(TrainingFailed, match="is not what was trained"):
        trained(elsewhere, second(elsewhere, start, Reference.BASE))
    (folder / PASSPORT_FILE).unlink()
    with pytest.raises(TrainingFailed, match="holds other weights than were registered"):
        trained(elsewhere, second(elsewhere, start, Reference.BASE))


def test_a_warning_ends_a_training_early_and_its_adapter_says_so(place_of_its_own: Place) -> None:
    """All answers are cut at once; the checkpoint of every second step is none to go on from."""
    config = replace(CONFIG, max_length=44, early_stop=(HealthCode.SATURATED, HealthCode.TRUNCATED))
    job = replace(place_of_its_own.job(), config=config)
    adapter, heard = trained(place_of_its_own, job)
    assert [progress.step for progress in heard] == [1]
    assert (adapter.steps, adapter.stopped_by) == (1, HealthCode.TRUNCATED)
    assert read_passport(place_of_its_own.adapter("team@1")).stopped_by is HealthCode.TRUNCATED


def test_epochs_can_say_how_long_and_the_reference_can_be_asked_as_one_goes(place_of_its_own: Place) -> None:
    config = replace(CONFIG, max_steps=-1, num_train_epochs=1.0, precompute_ref_log_probs=False)
    adapter, heard = trained(place_of_its_own, replace(place_of_its_own.job(run=4), config=config))
    assert [progress.total_steps for progress in heard] == [3, 3, 3]
    assert adapter.steps == 3
    assert read_passport(place_of_its_own.adapter("team@1")).metrics.reference_logp_chosen is None


def test_the_same_data_configuration_and_machine_give_the_same_bytes(
    first: tuple[Place, TrainedAdapter], place_of_its_own: Place
) -> None:
    again = without_a_break(place_of_its_own).adapter
    assert again.sha256 == first[1].sha256


@pytest.fixture
def place_of_its_own(tiny_model: Path, tmp_path: Path) -> Place:
    return Place(tiny_model, tmp_path)
