"""Trainings are taken when nobody living has them, told as they go, and ended once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from commands.datasets import DatasetBuilt, RequestDataset
from commands.policies import held_training, run_training
from commands.policies.patience import StoreUnavailable
from commands.policies.run_training import RunTraining
from commands.training import CancelTraining, ReproduceAdapter, RequestTraining, StartTraining
from domain.dataset_contents import PartFile
from domain.errors import Invalid
from domain.events import Actor, ActorKind, Envelope
from domain.ports.events import Written
from domain.training import Original, TrainedAdapter, TrainingCancelled, TrainingFailed, TrainingJob, TrainingRun
from domain.training_progress import Progress
from tests.builders import SHA, a_progress, a_trained_adapter, contents
from tests.eventually import eventually
from tests.fakes import LivingWorkers, MemoryEventStore, an_envelope
from tests.outages import patience

AUTOMATION = Actor("trainer", ActorKind.AUTOMATION)
Script = Callable[[Callable[[Progress], None], Callable[[], bool]], None]


class ScriptedTrainer:
    """The Trainer port: does what the script says, then hands over an adapter."""

    def __init__(self) -> None:
        self.script: Script = lambda on_progress, cancelled: None
        self.jobs: list[TrainingJob] = []
        self.forgotten: list[UUID] = []

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        self.jobs.append(job)
        self.script(on_progress, cancelled)
        if cancelled():
            raise TrainingCancelled("stopped")
        return a_trained_adapter(job.adapter_name)

    def forget(self, run_id: UUID) -> None:
        self.forgotten.append(run_id)


class Gym:
    def __init__(self, folder: Path) -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus()
        self.trainer = ScriptedTrainer()
        self.workers = LivingWorkers({"me"})
        self.folder = folder
        self.policy = self.run_by("me")

    def run_by(self, worker: str) -> RunTraining:
        return RunTraining(
            self.store,
            self.execute,
            self.trainer,
            self.dataset_file,
            self.dataset_again,
            self.workers,
            worker,
            AUTOMATION,
            patience(),
        )

    def execute(self, command: object, envelope: Envelope) -> Written:
        return self.bus.execute(command, envelope)

    def dataset_file(self, dataset: UUID) -> Path:
        return self.folder / f"{dataset}.jsonl"

    def dataset_again(self, dataset: UUID) -> Path:
        return self.folder / "again" / f"{dataset}.jsonl"

    def ask(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def a_run(self) -> UUID:
        dataset = self.ask(RequestDataset())
        self.ask(DatasetBuilt(dataset, contents(PartFile("train", 20, 1, SHA, 100))))
        return self.ask(RequestTraining(dataset, "tiny", "team"))

    def train(self, run: UUID) -> None:
        self.policy.train(run, lambda: False)

    def told(self, run: UUID) -> list[str]:
        return [recorded.type.removeprefix("training_run.") for recorded in self.store.history(run)]


@pytest.fixture
def gym(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gym:
    monkeypatch.setattr(held_training, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(run_training, "PUT_BACK_SECONDS", 0.0)
    return Gym(tmp_path)


def test_a_training_is_told_from_start_to_adapter(gym: Gym) -> None:
    run = gym.a_run()

    def two_steps(on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        on_progress(a_progress(1))
        on_progress(a_progress(2))

    gym.trainer.script = two_steps
    gym.train(run)
    assert gym.told(run) == ["requested", "started", "progressed", "progressed", "completed"]
    requested, *_, completed = gym.store.history(run)
    assert completed.envelope.actor == AUTOMATION
    assert completed.envelope.correlation_id == requested.envelope.correlation_id


def test_an_adapter_is_made_again_from_a_dataset_that_is_built_again(gym: Gym) -> None:
    first = gym.a_run()
    gym.train(first)
    with pytest.raises(Invalid, match="--anyway"):
        gym.ask(ReproduceAdapter("team@1"))
    again = gym.ask(ReproduceAdapter("team@1", anyway=True))
    gym.train(again)
    made, job = gym.trainer.jobs
    assert (job.adapter_name, job.base_sha256, made.base_sha256) == ("team@2", SHA, None)
    assert (job.dataset_id, job.dataset_sha256, job.config) == (made.dataset_id, made.dataset_sha256, made.config)
    assert Path(job.dataset_file).parent.name == "again"
    (requested, *_) = [recorded.event for recorded in gym.store.history(again)]
    assert isinstance(requested, TrainingRun.Requested)
    assert requested.reproduces == Original("team@1", SHA, SHA)


def test_the_trainer_is_told_all_that_it_needs(gym: Gym) -> None:
    run = gym.a_run()
    gym.train(run)
    (job,) = gym.trainer.jobs
    (requested, *_) = [recorded.event for recorded in gym.store.history(run)]
    assert isinstance(requested, TrainingRun.Requested)
    assert (job.run_id, job.adapter_name, job.config) == (run, "team@1", requested.config)
    assert job.dataset_file == str(gym.dataset_file(requested.dataset_id))
    assert (job.dataset_sha256, job.position) == (SHA, requested.position)


def test_a_run_that_is_over_is_not_trained_again(gym: Gym) -> None:
    run, cancelled = gym.a_run(), gym.a_run()
    gym.ask(CancelTraining(cancelled, "not now"))
    for each in (run, run, cancelled):
        gym.train(each)
    assert len(gym.trainer.jobs) == 1


def test_a_run_of_a_living_trainer_is_left_alone_and_that_of_a_dead_one_taken_over(gym: Gym) -> None:
    run = gym.a_run()
    gym.ask(StartTraining(run, "another"))
    gym.workers.add("another")
    gym.train(run)
    assert gym.told(run) == ["requested", "started"]
    gym.workers.remove("another")
    gym.train(run)
    assert gym.told(run) == ["requested", "started", "started", "completed"]


def test_a_trainer_takes_up_its_own_run_again(gym: Gym) -> None:
    run = gym.a_run()
    gym.ask(StartTraining(run, "me"))
    gym.train(run)
    assert gym.told(run)[-1] == "completed"


def test_a_failure_is_told_with_its_reason(gym: Gym) -> None:
    def fail(on_progress: object, cancelled: object) -> None:
        raise TrainingFailed("out of memory")

    run = gym.a_run()
    gym.trainer.script = fail
    gym.train(run)
    *_, failed = gym.store.history(run)
    assert isinstance(failed.event, TrainingRun.Failed)
    assert failed.event.reason == "out of memory"


def test_a_dataset_that_cannot_be_had_fails_the_run(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(dataset: UUID) -> Path:
        raise OSError("the disk is gone")

    monkeypatch.setattr(gym, "dataset_file", lost)
    run = gym.a_run()
    gym.run_by("me").train(run, lambda: False)
    *_, failed = gym.store.history(run)
    assert isinstance(failed.event, TrainingRun.Failed)
    assert "the disk is gone" in failed.event.reason


def test_a_cancelled_run_stops_and_records_nothing_more(gym: Gym) -> None:
    run = gym.a_run()

    def cancelled_by_somebody(on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        assert not cancelled()
        gym.ask(CancelTraining(run, "changed my mind"))
        assert cancelled()

    gym.trainer.script = cancelled_by_somebody
    gym.train(run)
    assert gym.told(run) == ["requested", "started", "cancelled"]
    assert gym.trainer.forgotten == [run]


def test_a_run_that_another_took_over_stops_here_and_records_nothing_more(gym: Gym) -> None:
    run = gym.a_run()

    def taken_over(on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        gym.ask(StartTraining(run, "another"))
        on_progress(a_progress(1))

    gym.trainer.script = taken_over
    gym.train(run)
    assert gym.told(run) == ["requested", "started", "started"]
    assert not gym.trainer.forgotten, "the other one goes on from its checkpoint"


def test_a_run_cancelled_at_the_last_moment_stays_cancelled(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gym.a_run()
    monkeypatch.setattr(held_training, "LOOK_SECONDS", 60)

    def cancelled_after_the_last_look(on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        assert not cancelled()
        gym.ask(CancelTraining(run, "changed my mind"))

    gym.trainer.script = cancelled_after_the_last_look
    gym.train(run)
    assert gym.told(run) == ["requested", "started", "cancelled"]


def test_an_outage_of_the_store_loses_no_progress_and_doubles_none(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply to a command may be lost after the command was executed: the hardest case."""
    replies_lost = 2

    def shaky(command: object, envelope: Envelope) -> Written:
        nonlocal replies_lost
        written = gym.bus.execute(command, envelope)
        if not isinstance(command, StartTraining) and replies_lost:
            replies_lost -= 1
            raise ConnectionError("the server closed the connection")
        return written

    monkeypatch.setattr(gym, "execute", shaky)
    run = gym.a_run()
    gym.trainer.script = lambda on_progress, cancelled: on_progress(a_progress(1))
    gym.run_by("me").train(run, lambda: False)
    assert gym.told(run) == ["requested", "started", "progressed", "completed"]


def test_a_store_that_is_away_for_too_long_fails_no_run(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    away = [ConnectionError("no database")] * 4

    def shaky(command: object, envelope: Envelope) -> Written:
        if away and not isinstance(command, StartTraining):
            raise away.pop()
        return gym.bus.execute(command, envelope)

    monkeypatch.setattr(gym, "execute", shaky)
    run = gym.a_run()
    gym.trainer.script = lambda on_progress, cancelled: on_progress(a_progress(1))
    trainer = gym.run_by("me")
    with pytest.raises(StoreUnavailable):
        trainer.train(run, lambda: False)
    assert gym.told(run) == ["requested", "started"]
    trainer.train(run, lambda: False)
    assert gym.told(run) == ["requested", "started", "started", "progressed", "completed"]


@pytest.mark.parametrize("failure", [None, TrainingFailed("out of memory")])
def test_what_is_kept_of_a_run_is_thrown_away_when_it_is_over(gym: Gym, failure: TrainingFailed | None) -> None:
    def end(on_progress: object, cancelled: object) -> None:
        if failure:
            raise failure

    run = gym.a_run()
    gym.trainer.script = end
    gym.train(run)
    assert gym.trainer.forgotten == [run]


def test_what_is_kept_of_a_run_that_was_cancelled_while_no_trainer_lived_is_thrown_away(gym: Gym) -> None:
    run = gym.a_run()
    gym.ask(StartTraining(run, "another"))
    gym.ask(CancelTraining(run, "changed my mind"))
    gym.train(run)
    assert gym.trainer.forgotten == [run]


def test_what_is_kept_of_an_interrupted_run_stays(gym: Gym) -> None:
    run = gym.a_run()
    gym.policy.train(run, lambda: True)
    assert not gym.trainer.forgotten


async def test_runs_that_are_offered_are_trained_one_after_the_other_and_once(gym: Gym) -> None:
    runs, stop = [gym.a_run() for _ in range(3)], asyncio.Event()
    task = asyncio.create_task(gym.policy.run(stop))
    for run in [*runs, *runs]:
        gym.policy.offer(run)
    await eventually(lambda: all(gym.told(run)[-1] == "completed" for run in runs))
    stop.set()
    await asyncio.wait_for(task, 60)
    assert [job.run_id for job in gym.trainer.jobs] == runs
    assert [job.adapter_name for job in gym.trainer.jobs] == ["team@1", "team@2", "team@3"]


async def test_a_trainer_that_shuts_down_leaves_its_run_to_others(gym: Gym) -> None:
    run, stop = gym.a_run(), asyncio.Event()

    def until_cancelled(on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        on_progress(a_progress(1))
        stop.set()
        assert cancelled()

    gym.trainer.script = until_cancelled
    gym.policy.offer(run)
    await asyncio.wait_for(gym.policy.run(stop), 60)
    assert gym.told(run) == ["requested", "started", "progressed"]
    gym.workers.remove("me")
    gym.trainer.script = lambda on_progress, cancelled: on_progress(a_progress(2))
    gym.run_by("another").train(run, lambda: False)
    assert gym.told(run)[3:] == ["started", "progressed", "completed"]
