"""Real trainings, of a tiny model, in real processes that are cancelled and killed."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from adapters.artifacts import ADAPTER_WEIGHTS, DatasetFolder, PublishedAdapters, sha256_of
from adapters.lora_passport import read_passport
from adapters.trl_trainer import TrlTrainer
from domain.training import Progress, TrainedAdapter, TrainingCancelled, TrainingFailed, TrainingJob
from domain.training_config import TrainingConfig
from tests.integration.processes import eventually, kill_9, lives

CONFIG = TrainingConfig(steps=6, batch_size=2, learning_rate=5e-3, lora_dropout=0.1, max_length=64, max_pairs=5, seed=7)
DATASET = UUID(int=1)


@dataclass(frozen=True)
class Place:
    """Folders of one trainer's own. It can be sent to another process."""

    base_model: Path
    root: Path

    def trainer(self) -> TrlTrainer:
        return TrlTrainer(
            self.base_model,
            self.root / "artifacts",
            self.root / "work",
            self.root / "logs",
            device="cpu",
            checkpoint_every=2,
        )

    def adapter(self, name: str) -> Path:
        return PublishedAdapters(self.root / "artifacts").path(name)

    def job(self, lines: list[bytes] | None = None, run: int = 1) -> TrainingJob:
        file, sha256, _ = DatasetFolder(self.root / "artifacts").write(DATASET, lines or some_pairs())
        return TrainingJob(UUID(int=run), "team@1", DATASET, str(file), sha256, 42, self.base_model.name, CONFIG)


@pytest.fixture
def place(tiny_model: Path, tmp_path: Path) -> Place:
    return Place(tiny_model, tmp_path)


@dataclass(frozen=True)
class Unbroken:
    place: Place
    trained: TrainedAdapter
    progress: list[Progress]


@pytest.fixture(scope="module")
def unbroken(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """What every other way to get there has to be equal to."""
    place = Place(tiny_model, tmp_path_factory.mktemp("unbroken"))
    progress: list[Progress] = []
    trained = place.trainer().train(place.job(), progress.append, never)
    return Unbroken(place, trained, progress)


def test_every_step_is_reported_and_the_loss_falls(unbroken: Unbroken) -> None:
    assert [progress.step for progress in unbroken.progress] == list(range(1, CONFIG.steps + 1))
    first, last = unbroken.progress[0], unbroken.progress[-1]
    assert (first.margin, last.seconds_left) == (0, 0)
    assert (unbroken.trained.loss_before, unbroken.trained.loss_after) == (first.loss, last.loss)
    assert last.loss < first.loss
    assert last.margin > 0


def test_the_adapter_holds_weights_config_passport_and_card_and_no_pickle(unbroken: Unbroken) -> None:
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


def test_the_passport_names_what_made_the_adapter(unbroken: Unbroken) -> None:
    folder, job = unbroken.place.adapter("team@1"), unbroken.place.job()
    passport = read_passport(folder)
    assert passport.sha256 == unbroken.trained.sha256 == sha256_of(folder / ADAPTER_WEIGHTS)
    assert (passport.training_run, passport.position) == (job.run_id, 42)
    assert (passport.dataset_id, passport.dataset_sha256) == (DATASET, job.dataset_sha256)
    assert (passport.config, passport.pairs) == (CONFIG, 5)
    assert passport.metrics.reference_logp_chosen < 0


def test_peft_opens_the_adapter_and_it_changes_what_the_base_says(unbroken: Unbroken) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(unbroken.place.base_model)
    tokens = torch.tensor([[1, 2, 3]])
    before = base(tokens).logits
    adapted = PeftModel.from_pretrained(base, unbroken.place.adapter("team@1"))
    assert not torch.equal(before, adapted(tokens).logits)


def test_a_run_that_is_published_is_not_trained_again(unbroken: Unbroken) -> None:
    again = unbroken.place.trainer().train(unbroken.place.job(), fail_on_progress, never)
    assert again == unbroken.trained


def test_another_run_cannot_take_the_name_of_a_published_adapter(unbroken: Unbroken) -> None:
    with pytest.raises(TrainingFailed, match="team@1 is taken by training run"):
        unbroken.place.trainer().train(unbroken.place.job(run=2), fail_on_progress, never)


def test_weights_that_are_not_those_of_the_passport_are_not_taken_for_the_runs_own(
    unbroken: Unbroken, place: Place
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


def test_a_cancelled_training_goes_on_later_and_ends_the_same(unbroken: Unbroken, place: Place) -> None:
    seen: list[Progress] = []
    with pytest.raises(TrainingCancelled):
        place.trainer().train(place.job(), seen.append, cancelled=lambda: len(seen) >= 3)
    assert not place.adapter("team@1").exists()

    later: list[Progress] = []
    trained = place.trainer().train(place.job(), later.append, never)
    assert later[0].step == seen[-1].step + 1
    assert trained.sha256 == unbroken.trained.sha256
    assert trained.loss_before == unbroken.trained.loss_before
    for file in (ADAPTER_WEIGHTS, "adapter_config.json"):
        resumed, straight = (at.adapter("team@1") / file for at in (place, unbroken.place))
        assert resumed.read_bytes() == straight.read_bytes()


def test_a_training_survives_kill_9_of_its_trainer_and_of_its_own_process(unbroken: Unbroken, place: Place) -> None:
    trainer, steps = in_a_process_of_its_own(place)
    while steps.recv() < 3:
        pass
    [child] = training_processes(trainer.pid)
    trainer.kill()
    eventually(lambda: not lives(child))
    trainer.join()

    seen: list[int] = []

    def kill_at_the_first_step(progress: Progress) -> None:
        seen.append(progress.step)
        if len(seen) == 1:
            kill_9(*training_processes(psutil.Process().pid))

    trained = place.trainer().train(place.job(), kill_at_the_first_step, never)
    assert seen[0] > 1, "it goes on from a checkpoint"
    assert seen[-1] == CONFIG.steps
    assert trained.sha256 == unbroken.trained.sha256


def test_a_finished_run_leaves_nothing_to_go_on_with_once_it_is_forgotten(unbroken: Unbroken) -> None:
    work = unbroken.place.root / "work" / str(UUID(int=1))
    assert work.exists()
    for _ in range(2):
        unbroken.place.trainer().forget(UUID(int=1))
        assert not work.exists()


def test_a_sigterm_that_the_trainer_did_not_send_is_no_cancellation(unbroken: Unbroken, place: Place) -> None:
    seen: list[int] = []

    def end_at_the_third_step(progress: Progress) -> None:
        seen.append(progress.step)
        if len(seen) == 3:
            [child] = training_processes(psutil.Process().pid)
            psutil.Process(child).terminate()

    trained = place.trainer().train(place.job(), end_at_the_third_step, never)
    assert seen[-1] == CONFIG.steps
    assert trained.sha256 == unbroken.trained.sha256


def test_what_a_listener_raises_ends_the_process_and_comes_through(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        place.trainer().train(place.job(), fail_on_progress, cancelled=lambda: bool(1 // 0))
    assert not training_processes(psutil.Process().pid)


@pytest.mark.parametrize("name", ["loss", "rewards/margins", "rewards/accuracies"])
def test_a_training_whose_numbers_are_none_any_more_has_diverged(name: str) -> None:
    from transformers.trainer_callback import TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments

    from adapters.dpo.failures import Diverged
    from adapters.dpo.training import ProgressCallback

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


def test_a_failure_says_where_the_log_is_and_how_it_ends(place: Place) -> None:
    job = place.job([b"not json"])
    with pytest.raises(TrainingFailed, match=r"Invalid JSON.* and ends with") as failure:
        place.trainer().train(job, fail_on_progress, never)
    assert str(place.trainer().log_file(job.run_id)) in str(failure.value)
    assert "Traceback" in place.trainer().log_file(job.run_id).read_text()


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


def fail_on_progress(progress: Progress) -> None:
    raise AssertionError(f"nothing should have been trained: {progress}")


def in_a_process_of_its_own(place: Place) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """A trainer at work in that place, and the steps that it reports."""
    spawn = multiprocessing.get_context("spawn")
    reading, writing = spawn.Pipe(duplex=False)
    process = spawn.Process(target=train_and_tell, args=(place, writing))
    process.start()
    return process, reading


def train_and_tell(place: Place, steps: Connection) -> None:
    tell: Callable[[Progress], None] = lambda progress: steps.send(progress.step)  # noqa: E731
    place.trainer().train(place.job(), tell, never)


def training_processes(of: int | None) -> list[int]:
    descendants = psutil.Process(of).children(recursive=True)
    return [process.pid for process in descendants if "adapters.dpo.process" in process.cmdline()]
