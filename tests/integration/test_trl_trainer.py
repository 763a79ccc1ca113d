"""Real trainings, of a tiny model, in real processes that are cancelled and killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from adapters.artifacts import ADAPTER_WEIGHTS, sha256_of
from adapters.code_version import code_version
from adapters.lora_passport import read_passport
from domain.training import TrainingCancelled, TrainingFailed
from domain.training_progress import Progress
from tests.integration.trainings import (
    CONFIG,
    DATASET,
    Place,
    Trained,
    cancelled_once,
    ended_by_somebody_and_made_to_stand_still,
    killed_before_any_checkpoint,
    killed_twice,
    never,
    some_pairs,
    training_processes,
    without_a_break,
)

pytestmark = pytest.mark.timeout(900)

EPOCH = (2, 2, 1)
"""The batches that five pairs make."""


@pytest.fixture
def place(tiny_model: Path, tmp_path: Path) -> Place:
    return Place(tiny_model, tmp_path)


Trainings = dict[Callable[[Place], Trained], Future[Trained]]


@pytest.fixture(scope="module")
def trainings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """The same training in different ways, two at a time: each is a process that computes on one core, mostly."""
    with ThreadPoolExecutor(max_workers=2) as threads:
        yield {
            way: threads.submit(way, Place(tiny_model, tmp_path_factory.mktemp(way.__name__)))
            for way in (
                without_a_break,
                cancelled_once,
                killed_twice,
                killed_before_any_checkpoint,
                ended_by_somebody_and_made_to_stand_still,
            )
        }


@pytest.fixture
def unbroken(trainings: Trainings) -> Trained:
    """What every other way to get there has to be equal to."""
    return trainings[without_a_break].result()


def test_every_step_is_reported_and_the_loss_falls_from_epoch_to_epoch(unbroken: Trained) -> None:
    [heard] = unbroken.heard
    assert [progress.step for progress in heard] == list(range(1, CONFIG.max_steps + 1))
    first, last = heard[0], heard[-1]
    assert (first.margin, last.seconds_left) == (0, 0)
    assert (unbroken.adapter.loss_before, unbroken.adapter.loss_after) == (first.loss, last.loss)
    losses = [progress.loss * pairs for progress, pairs in zip(heard, EPOCH * 2, strict=True)]
    assert sum(losses[3:]) < sum(losses[:3])
    assert last.margin > 0
    assert all(progress.kl is not None and progress.kl >= 0 and progress.truncated == 0 for progress in heard)


def test_the_adapter_says_what_it_was_made_with(unbroken: Trained) -> None:
    made_with = unbroken.adapter.made_with
    assert (made_with["caravan"], made_with["device"]) == (code_version(), "cpu")
    assert {"torch", "trl", "peft", "machine"} <= made_with.keys()


def test_the_adapter_holds_weights_config_passport_and_card_and_no_pickle(unbroken: Trained) -> None:
    folder = unbroken.place.adapter("team@1")
    assert {file.name for file in folder.iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "passport.json",
        "README.md",
    }
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == unbroken.place.base_model.name
    assert config["revision"] == sha256_of(unbroken.place.base_model / "model.safetensors")


def test_the_passport_names_what_made_the_adapter(unbroken: Trained) -> None:
    folder, job = unbroken.place.adapter("team@1"), unbroken.place.job()
    passport = read_passport(folder)
    assert passport.sha256 == unbroken.adapter.sha256 == sha256_of(folder / ADAPTER_WEIGHTS)
    assert (passport.training_run, passport.position) == (job.run_id, 42)
    assert (passport.dataset_id, passport.dataset_sha256) == (DATASET, job.dataset_sha256)
    assert passport.config == replace(CONFIG, precision=passport.config.precision)
    assert passport.config.precision in ("bf16", "fp32"), "what `auto` came to on this machine"
    assert passport.pairs == 5
    assert passport.metrics.reference_logp_chosen < 0


def test_peft_opens_the_adapter_and_it_changes_what_the_base_says(unbroken: Trained) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(unbroken.place.base_model)
    tokens = torch.tensor([[1, 2, 3]])
    before = base(tokens).logits
    adapted = PeftModel.from_pretrained(base, unbroken.place.adapter("team@1"))
    assert not torch.equal(before, adapted(tokens).logits)


def test_a_run_that_is_published_is_not_trained_again(unbroken: Trained) -> None:
    again = unbroken.place.trainer().train(unbroken.place.job(), fail_on_progress, never)
    assert again == unbroken.adapter


def test_another_run_cannot_take_the_name_of_a_published_adapter(unbroken: Trained) -> None:
    with pytest.raises(TrainingFailed, match="team@1 is taken by training run"):
        unbroken.place.trainer().train(unbroken.place.job(run=2), fail_on_progress, never)


def test_weights_that_are_not_those_of_the_passport_are_not_taken_for_the_runs_own(
    unbroken: Trained, place: Place
) -> None:
    folder = place.adapter("team@1")
    shutil.copytree(unbroken.place.adapter("team@1"), folder)
    with (folder / ADAPTER_WEIGHTS).open("ab") as weights:
        weights.write(b"\0")
    with pytest.raises(TrainingFailed, match="other weights than its passport names"):
        place.trainer().train(place.job(), fail_on_progress, never)


def test_a_run_on_a_base_that_the_trainer_does_not_have_is_refused(place: Place) -> None:
    job = replace(place.job(), base_model="huge")
    with pytest.raises(TrainingFailed, match="this trainer has 'tiny-llama', not 'huge'"):
        place.trainer().train(job, fail_on_progress, never)


def test_a_cancelled_training_goes_on_later_and_ends_the_same(unbroken: Trained, trainings: Trainings) -> None:
    resumed = trainings[cancelled_once].result()
    before, after = resumed.heard
    assert after[0].step == before[-1].step + 1
    assert resumed.adapter.sha256 == unbroken.adapter.sha256
    assert resumed.adapter.loss_before == unbroken.adapter.loss_before
    for file in (ADAPTER_WEIGHTS, "adapter_config.json"):
        once, straight = (training.place.adapter("team@1") / file for training in (resumed, unbroken))
        assert once.read_bytes() == straight.read_bytes()


def test_a_training_survives_kill_9_of_its_trainer_and_of_its_own_process(
    unbroken: Trained, trainings: Trainings
) -> None:
    survivor = trainings[killed_twice].result()
    [after] = survivor.heard
    assert after[0].step > 1, "it goes on from a checkpoint"
    assert after[-1].step == CONFIG.max_steps
    assert survivor.adapter.sha256 == unbroken.adapter.sha256


def test_a_training_that_ended_but_was_not_published_makes_no_step_too_many(tiny_model: Path, tmp_path: Path) -> None:
    """Its five steps end amid its second epoch of three."""
    straight, broken = (Place(tiny_model, tmp_path / name) for name in ("straight", "broken"))
    job, again = (replace(place.job(), config=replace(CONFIG, max_steps=5)) for place in (straight, broken))
    in_the_way = broken.adapter("team@1").parent
    in_the_way.write_text("no folder")
    with pytest.raises(TrainingFailed, match="FileExistsError"):
        broken.trainer().train(again, lambda _: None, never)
    in_the_way.unlink()
    heard: list[Progress] = []
    adapter = broken.trainer().train(again, heard.append, never)
    assert [progress.step for progress in heard] == [5]
    assert adapter.sha256 == straight.trainer().train(job, lambda _: None, never).sha256


def test_a_training_that_is_killed_before_any_checkpoint_begins_anew_and_ends_the_same(
    unbroken: Trained, trainings: Trainings
) -> None:
    """Though it finds what its first try made of the pairs."""
    survivor = trainings[killed_before_any_checkpoint].result()
    steps = [progress.step for progress in survivor.heard[0]]
    assert steps[0] == 1
    assert steps[1:][-CONFIG.max_steps :] == list(range(1, CONFIG.max_steps + 1))
    assert survivor.adapter.sha256 == unbroken.adapter.sha256


def test_neither_a_sigterm_that_the_trainer_did_not_send_nor_a_standstill_is_the_end(
    unbroken: Trained, trainings: Trainings
) -> None:
    gone_on = trainings[ended_by_somebody_and_made_to_stand_still].result()
    [heard] = gone_on.heard
    assert heard[-1].step == CONFIG.max_steps
    assert gone_on.adapter.sha256 == unbroken.adapter.sha256


def test_what_stands_still_again_and_again_has_failed_and_its_log_says_where(tiny_model: Path, tmp_path: Path) -> None:
    """It waits to read from a pipe that nobody writes to."""
    place = Place(tiny_model, tmp_path, standstill_seconds=1.5)
    dataset = tmp_path / "pipe"
    os.mkfifo(dataset)
    with pytest.raises(TrainingFailed, match="stands still again and again") as failure:
        place.trainer().train(replace(place.job(), dataset_file=str(dataset)), fail_on_progress, never)
    assert "in take_pairs" in str(failure.value)


def test_a_cancel_is_heard_while_the_reference_is_asked_about_many_pairs(place: Place) -> None:
    one_by_one = replace(CONFIG, max_pairs=3000, per_device_train_batch_size=1)
    job = replace(place.job(some_pairs() * 500), config=one_by_one)

    def says() -> str:
        log = place.trainer().log_file(job.run_id)
        return log.read_text() if log.exists() else ""

    with pytest.raises(TrainingCancelled):
        place.trainer().train(job, fail_on_progress, cancelled=lambda: "log probs for train dataset" in says())
    assert "log probs for train dataset: 100%" not in says()


def test_a_finished_run_leaves_nothing_to_go_on_with_once_it_is_forgotten(unbroken: Trained) -> None:
    work = unbroken.place.root / "work" / str(UUID(int=1))
    assert work.exists()
    for _ in range(2):
        unbroken.place.trainer().forget(UUID(int=1))
        assert not work.exists()


def test_what_a_listener_raises_ends_the_process_and_comes_through(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        place.trainer().train(place.job(), fail_on_progress, cancelled=lambda: bool(1 // 0))
    assert not training_processes(place)


@pytest.mark.parametrize("name", ["loss", "rewards/margins", "rewards/accuracies"])
def test_a_training_whose_numbers_are_none_any_more_has_diverged(name: str) -> None:
    from transformers.trainer_callback import TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments

    from adapters.dpo.failures import Diverged
    from adapters.dpo.reporting import ProgressCallback

    callback = ProgressCallback(report=lambda **_: None, stopping=never)
    state, control = TrainerState(global_step=3), TrainerControl()
    logs = {"loss": 0.5, "rewards/margins": 0.1, "rewards/accuracies": 1.0, name: float("nan")}
    with pytest.raises(Diverged, match=f"{name} is nan at step 3: lower learning_rate"):
        callback.on_log(TrainingArguments(use_cpu=True), state, control, logs)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "line 1: Invalid JSON"),
        (b'{"prompt": [], "chosen": [], "rejected": []}', "line 1: prompt: Tuple should have at least 1 item"),
    ],
)
def test_a_dataset_that_is_no_dataset_is_refused(place: Place, line: bytes, reason: str) -> None:
    with pytest.raises(TrainingFailed, match=reason):
        place.trainer().train(place.job([line]), fail_on_progress, never)


def test_a_dataset_that_was_changed_is_refused(place: Place) -> None:
    job = replace(place.job(), dataset_sha256="0" * 64)
    with pytest.raises(TrainingFailed, match="but the job names 0000"):
        place.trainer().train(job, fail_on_progress, never)


@pytest.mark.parametrize("module", ["lm_head", "c_attn"])
def test_layers_that_no_server_takes_an_adapter_of_are_refused_before_anything_is_trained(
    place: Place, module: str
) -> None:
    """PEFT trains the output's, and overlooks what is not there beside what is."""
    job = replace(place.job(), config=replace(CONFIG, target_modules=("q_proj", module)))
    with pytest.raises(TrainingFailed, match=f"tiny-llama has no layer {module} that an adapter may change; it has "):
        place.trainer().train(job, fail_on_progress, never)


def test_options_that_were_offered_when_it_was_asked_for_and_are_no_longer_are_refused(place: Place) -> None:
    job = place.job()
    with pytest.raises(TrainingFailed, match="loss_type must name some of"):
        place.trainer().train(
            replace(job, config=replace(CONFIG, loss_type=("aot",), loss_weights=(1.0,))), fail_on_progress, never
        )


def test_a_failure_says_where_the_log_is_and_how_it_ends(place: Place) -> None:
    job = place.job([b"not json"])
    with pytest.raises(TrainingFailed, match=r"Invalid JSON.* and ends with") as failure:
        place.trainer().train(job, fail_on_progress, never)
    assert str(place.trainer().log_file(job.run_id)) in str(failure.value)
    assert "Traceback" in place.trainer().log_file(job.run_id).read_text()


def fail_on_progress(progress: Progress) -> None:
    raise AssertionError(f"nothing should have been trained: {progress}")
