"""Evaluations without servers: a store in memory with a trained adapter, and datasets that are lists of pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import UUID, uuid5

from adapters.bootstrap_interval import resampling
from commands.datasets import DatasetBuilt, RequestDataset
from commands.evaluating.evaluate import EvaluateAdapter
from commands.policies.held_job import Attempt
from commands.roster import ReviseRoster
from commands.training import CompleteTraining, RequestTraining, StartTraining
from domain.dataset_contents import PartFile
from domain.dataset_recipe import Part, Recipe
from domain.errors import NotFound
from domain.evaluation import Evaluation
from domain.evaluation_figures import Figures
from domain.events import Actor, ActorKind, Recorded
from domain.job import Job, Json, ResultFile
from domain.model_call import Message
from domain.ports.agents import AgentFactory
from domain.ports.datasets import DatasetPairs, HeldPair
from domain.ports.jobs import ResultFiles
from domain.training import TrainingRun
from domain.weighting import WEIGHED_LOSS
from tests.builders import SHA, a_trained_adapter, contents
from tests.fakes import MemoryEventStore, an_envelope
from tests.scripted_agents import ScriptedAgents

JUDGE = Actor("job:evaluate", ActorKind.AUTOMATION)


def pairs(*names: str) -> list[HeldPair]:
    """One on a prompt of its own for each name."""
    return [
        HeldPair(
            uuid5(UUID(int=0), name),
            (Message("user", f"What is {name}?"),),
            (Message("assistant", f"{name} is a fine thing"),),
            (Message("assistant", f"{name}"),),
        )
        for name in names
    ]


@dataclass
class Kept:
    """The ResultFiles port, in memory."""

    files: dict[str, bytes] = field(default_factory=dict)

    def keep(self, content: bytes) -> ResultFile:
        digest = sha256(content).hexdigest()
        self.files[digest] = content
        return ResultFile(digest, len(content))

    def read(self, file: ResultFile) -> bytes:
        return self.files[file.sha256]


@dataclass
class Pairs:
    """The DatasetPairs port."""

    parts: dict[tuple[UUID, str], list[HeldPair]] = field(default_factory=dict)
    trained_part: str = "train"

    def pairs(self, dataset_id: UUID, part: str) -> Iterator[HeldPair]:
        if (dataset_id, part) not in self.parts:
            raise NotFound("dataset", dataset_id)
        yield from self.parts[dataset_id, part]


class Court:
    """A Caravan in memory in which adapters can be trained, evaluated and promoted."""

    def __init__(self, base_model: str = "tiny") -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus((base_model,))
        self.base_model = base_model
        self.pairs, self.scripted = Pairs(), ScriptedAgents()
        self.datasets: DatasetPairs = self.pairs
        self.files: ResultFiles = Kept()
        self.agents: AgentFactory = self.scripted

    def ask(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def types(self) -> list[str]:
        return [recorded.type for recorded in self.store.read()]

    def a_roster(self, *names: str) -> None:
        self.ask(ReviseRoster(json.dumps(names)))

    def a_dataset(self, **parts: Sequence[str]) -> UUID:
        """With pairs on these, by part."""
        recipe = Recipe(parts=tuple(Part(name, 10) for name in parts if name != "train"))
        id = self.ask(RequestDataset(recipe=recipe))
        files = [PartFile(part, len(parts.get(part, ())) or 1, 0, SHA, 100) for part in recipe.part_names]
        self.ask(DatasetBuilt(id, contents(*files)))
        self.pairs.parts |= {(id, part): pairs(*parts.get(part, ())) for part in recipe.part_names}
        return id

    def an_adapter(self, dataset: UUID, start_from: str | None = None, weighting: str = WEIGHED_LOSS) -> str:
        """The next one of the team."""
        run = self.ask(RequestTraining(dataset, self.base_model, "team", start_from=start_from))
        self.ask(StartTraining(run, "trainer-1"))
        training = self.store.load(run)
        assert isinstance(training, TrainingRun)
        name = training.adapter_name or ""
        trained = replace(a_trained_adapter(name), base_model=self.base_model, weighting=weighting)
        self.ask(CompleteTraining(run, 1, trained))
        return name

    def evaluation(self, id: UUID) -> Evaluation:
        found = self.store.load(id)
        assert isinstance(found, Evaluation)
        return found

    def figures(self, id: UUID) -> Figures:
        found = self.evaluation(id).figures
        assert found
        return found

    def job(self, id: UUID) -> Job:
        found = self.store.load(self.evaluation(id).job)
        assert isinstance(found, Job)
        return found

    async def evaluate(self, id: UUID, attempt: Attempt | None = None) -> Json:
        """What the job does."""
        work = EvaluateAdapter(
            self.store,
            self.bus.execute,
            self.agents,
            Rosters(self.store),
            self.datasets,
            self.files,
            resampling,
            "embedded",
            JUDGE,
        )
        return await work({"evaluation": str(id)}, attempt or Attempt(self.evaluation(id).job, 1))

    def items(self, id: UUID) -> Mapping[str, list[Json]]:
        """The judged ones, from the file that the event names."""
        completed = next(
            recorded.event for recorded in self.store.history(id) if isinstance(recorded.event, Evaluation.Completed)
        )
        found: Mapping[str, list[Json]] = json.loads(self.files.read(completed.items))
        return found

    def last(self) -> Recorded:
        return list(self.store.read())[-1]


class Rosters:
    """The Rosters port, from the log."""

    def __init__(self, store: MemoryEventStore) -> None:
        from projections.lookups import RosterRevisions

        self.agents = RosterRevisions(store).agents
