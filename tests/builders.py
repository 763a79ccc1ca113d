"""Domain objects with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate

from domain.dataset import Dataset, Filter
from domain.events import Actor, ActorKind, Envelope, Recorded, topic_of
from domain.lora_adapter import LoraAdapter, Passport
from domain.model_call import Message, ModelCall, Usage
from domain.preference import Completion, Lineage, Pair, Preference
from domain.ranking import Ballot, Outcome
from domain.roster import AgentSpec, ModelSpec
from domain.training import Progress, TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.workflow import CastMember, Step, Task, Workflow, step_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHA = "ab" * 32


def an_id(name: str) -> UUID:
    """The same for the same name."""
    return uuid5(UUID(int=0), name)


RUN = an_id("run")
CAST = (CastMember("ada", "team@1"), CastMember("ben", None))


def topics(aggregate: BaseAggregate[UUID]) -> list[str]:
    """What the aggregate decided, in order: `annotated` of `preference.annotated`."""
    return [topic_of(type(event)).partition(".")[2] for event in aggregate.pending_events]


def recorded(events: Iterable[AggregateEvent], first: int = 1) -> list[Recorded]:
    """The events as a store would hold them, from position `first` on."""
    envelope = Envelope(Actor("somebody", ActorKind.HUMAN), an_id("request"))
    return [Recorded(position, event, envelope, NOW) for position, event in enumerate(events, first)]


def a_call(output: str = "Paris.", tokens: tuple[int, int] = (10, 5)) -> ModelCall:
    return ModelCall(
        messages=(Message("user", "Which city?"),),
        output=output,
        model="tiny",
        usage=Usage(*tokens),
        latency=0.5,
        finish_reason="stop",
    )


def a_step(agent: str = "ada", phase: str = "answer", n: int = 0) -> Step:
    return Step(step_id(RUN, agent, phase, n), agent, phase, n, a_call())


def a_ballot(first: UUID, second: UUID, outcome: Outcome = Outcome.FIRST, name: str = "ballot") -> Ballot:
    return Ballot(an_id(name), "cyd", "verdict/1", first, second, outcome, steps=())


def a_workflow(agents: tuple[str, ...] = ("ada", "ben"), turns: tuple[str, ...] = ("Which city?",)) -> Workflow:
    """Requested."""
    return Workflow.request(RUN, "mutual_ranking", Task(turns), 1, agents, batch="", max_tokens=None, at=NOW)


def a_started_workflow() -> Workflow:
    """In its first epoch."""
    workflow = a_workflow()
    workflow.start("worker-1", CAST, at=NOW)
    return workflow


def a_completion(text: str, agent: str | None = None) -> Completion:
    return Completion((Message("assistant", text),), agent, an_id(text) if agent else None)


def a_pair(chosen: str = "Paris.", rejected: str = "Lyon.") -> Pair:
    return Pair((Message("user", "Which city?"),), a_completion(chosen, "ada"), a_completion(rejected, "ben"))


def a_preference(name: str = "preference", probability: float = 0.75, run: UUID | None = RUN) -> Preference:
    """Proposed by ballots of that run, or by hand where there is none."""
    return Preference.propose(
        id=an_id(name),
        pair=a_pair(f"Paris, says {name}."),
        probability=probability,
        margin=1.1,
        method="bradley-terry/1",
        lineage=Lineage(run, (an_id("ballot"),)) if run else None,
        at=NOW,
    )


def a_dataset(position: int = 5, head: int = 9, filter: Filter | None = None) -> Dataset:
    """Requested."""
    return Dataset.request(an_id("dataset"), position, head, filter or Filter(), at=NOW)


def a_training_run(config: TrainingConfig | None = None) -> TrainingRun:
    """Requested."""
    return TrainingRun.request(
        id=an_id("training"),
        dataset_id=an_id("dataset"),
        dataset_sha256=SHA,
        position=5,
        base_model="tiny",
        alias="team",
        config=config or TrainingConfig(),
        at=NOW,
    )


def a_started_training_run() -> TrainingRun:
    """In its first epoch."""
    run = a_training_run()
    run.start("trainer-1", "team@1", at=NOW)
    return run


def a_progress(step: int) -> Progress:
    return Progress(step, 16, loss=0.6, margin=0.1, accuracy=0.7, seconds_left=30, samples_per_second=2)


def a_trained_adapter(name: str = "team@1") -> TrainedAdapter:
    return TrainedAdapter(name, SHA, "tiny", SHA, pairs=20, loss_before=0.69, loss_after=0.5, seconds=60)


def a_passport(alias: str = "team", revision: int = 1, training_run: str = "training") -> Passport:
    return Passport(
        alias=alias,
        revision=revision,
        sha256=SHA,
        base_model="tiny",
        base_sha256=SHA,
        training_run=an_id(training_run),
        dataset_id=an_id("dataset"),
        dataset_sha256=SHA,
        position=5,
        pairs=20,
        config=TrainingConfig(),
    )


def a_reserved_adapter(alias: str = "team", revision: int = 1) -> LoraAdapter:
    return LoraAdapter.reserve(alias, revision, an_id("training"), at=NOW)


def a_lora_adapter(alias: str = "team", revision: int = 1) -> LoraAdapter:
    """Registered."""
    adapter = a_reserved_adapter(alias, revision)
    adapter.register(a_passport(alias, revision), at=NOW)
    return adapter


def an_agent(name: str) -> AgentSpec:
    return AgentSpec(name, "a geographer", "You know cities.", ModelSpec("openai", "tiny"))
