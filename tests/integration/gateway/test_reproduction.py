"""Adapters that are made again, over HTTP and from the command line: when that is refused, and when they differ."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.code_version import code_version
from commands.policies.patience import Patience
from commands.policies.run_training import RunTraining
from commands.training import RequestTraining
from domain.access import Role
from domain.events import Actor, ActorKind
from domain.lora_adapter import LoraAdapter
from domain.training import TrainedAdapter, TrainingJob, TrainingRun
from domain.training_progress import Progress
from gateway.cli import app, follow
from tests import story
from tests.builders import a_trained_adapter
from tests.fakes import LivingWorkers, an_envelope
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served
from tests.integration.gateway.trained import a_dataset, adapters

ACTOR = Actor("trainer", ActorKind.AUTOMATION)
REWRITTEN = (
    "UPDATE stored_events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'is fine', 'is poor'), 'UTF8')"
    " WHERE topic = 'preference.proposed'"
)


async def test_an_adapter_is_made_again_by_the_code_that_made_it(gateway: Gateway) -> None:
    adapters(gateway, 1, caravan="0.0.1")
    async with gateway.client(Role.OPERATOR) as client:
        refused = await client.post("/v1/adapters/team@1/reproduce")
        assert (refused.status_code, "made with Caravan 0.0.1" in refused.text) == (422, True)
        assert code_version() in refused.text
        asked = await client.post("/v1/adapters/team@1/reproduce", json={"anyway": True})
        assert asked.status_code == 202
        gateway.catch_up()
        run = (await client.get(asked.headers["location"])).json()
        passport = (await client.get("/v1/adapters/team@1/passport")).json()
    made = passport["adapter"]["passport"]
    assert run["reproduces"]["adapter"] == "team@1"
    assert (run["dataset_sha256"], run["config"]) == (made["dataset_sha256"], made["config"])
    (again,) = passport["reproductions"]
    assert (again["run_id"], again["state"], again["same"]) == (run["run_id"], "requested", None)


async def test_weights_that_differ_are_told_with_what_differs(gateway: Gateway) -> None:
    adapters(gateway, 1, caravan=code_version())
    async with gateway.client(Role.OPERATOR) as client:
        id = UUID((await client.post("/v1/adapters/team@1/reproduce")).json()["id"])
        core = gateway.core
        session = core.store.session(an_envelope())
        run, made = session.get(TrainingRun, id), session.get(LoraAdapter, story.adapter(1).id).passport
        assert made
        run.start("trainer-1", "team@2", at=story.at(60))
        other = LoraAdapter.reserve("team", 2, id, at=story.at(60))
        differing = {"caravan": code_version(), "device": "cpu"}
        other.register(
            replace(made, revision=2, training_run=id, sha256="d" * 64, made_with=differing), at=story.at(61)
        )
        core.store.session(an_envelope()).save(run, other)
        gateway.catch_up()
        (again,) = (await client.get("/v1/adapters/team@1/passport")).json()["reproductions"]
    assert (again["adapter"], again["same"], again["differs"]) == ("team@2", False, ["device: unknown, then cpu"])


@dataclass
class Trainer:
    """The Trainer port: its weights follow from the dataset's bytes, and from the device."""

    device: str = "cpu"
    jobs: list[TrainingJob] = field(default_factory=list)

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        self.jobs.append(job)
        weights = sha256(Path(job.dataset_file).read_bytes() + self.device.encode()).hexdigest()
        made_with = {"caravan": code_version(), "device": self.device}
        return replace(
            a_trained_adapter(job.adapter_name), sha256=weights, base_model=job.base_model, made_with=made_with
        )

    def forget(self, run_id: UUID) -> None:
        """It keeps nothing."""


@dataclass
class Workshop:
    """A gateway with a trainer, and `team@1`, which was trained there on that dataset."""

    gateway: Gateway
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        core = self.gateway.core
        self.dataset = a_dataset(self.gateway)
        core.bus.execute(RequestTraining(self.dataset, core.settings.base_model, "team"), an_envelope())
        self.work()

    @property
    def file(self) -> Path:
        return self.gateway.core.datasets.files.path(self.dataset)

    def work(self) -> None:
        """What the trainer would do, and the projectors."""
        core = self.gateway.core
        trainings = RunTraining(
            core.store,
            core.bus.execute,
            self.trainer,
            core.datasets_of(ACTOR).ensure,
            core.datasets_of(ACTOR).again,
            LivingWorkers({"trainer-1"}),
            "trainer-1",
            ACTOR,
            Patience((), lambda: True),
        )
        for requested in list(core.store.read(topics=("training_run.requested",))):
            trainings.train(requested.event.originator_id, lambda: False)
        self.gateway.catch_up()

    def reproduced(self) -> Result:
        """What the command line says, while the trainer is at work."""
        with self._at_work():
            return CliRunner().invoke(app, ["adapters", "reproduce", "team@1"])

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.05):
                self.work()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.fixture
def workshop(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Workshop]:
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.1)
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path / "command line"))
    monkeypatch.setenv("CARAVAN_TOKEN", gateway.tokens[Role.OPERATOR])
    with served(gateway.app) as address:
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        yield Workshop(gateway)


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"{}\n")], ids=["lost", "changed"])
def test_it_is_trained_on_what_the_events_say_whatever_became_of_the_datasets_file(
    workshop: Workshop, harm: Callable[[Path], object]
) -> None:
    before = workshop.file.read_bytes()
    harm(workshop.file)
    said = workshop.reproduced()
    assert (said.exit_code, workshop.file.read_bytes()) == (0, before), said.output
    assert "team@2 has the same weights as team@1, bit for bit" in said.output


def test_where_the_events_give_other_bytes_nothing_is_trained_and_it_is_said_why(
    workshop: Workshop, database: str
) -> None:
    with psycopg.connect(database) as db:
        db.execute(REWRITTEN)
    said = workshop.reproduced()
    assert (said.exit_code, len(workshop.trainer.jobs)) == (1, 1)
    for part in (f"dataset {workshop.dataset} was built with SHA-256", "its events now give", "Do not train on it"):
        assert part in " ".join(said.stderr.split())


def test_other_weights_are_told_with_what_differs_and_with_an_exit_code_for_scripts(workshop: Workshop) -> None:
    workshop.trainer.device = "cuda"
    said = workshop.reproduced()
    assert "team@2 has other weights than team@1: device: cpu, then cuda" in " ".join(said.output.split())
    assert said.exit_code == 1
