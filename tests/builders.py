"""Domain objects with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate

from domain.dataset import Dataset
from domain.dataset_contents import Contents, Lengths, PartFile
from domain.dataset_recipe import Filter, Recipe
from domain.dataset_rows import BEGINNING, TELLING
from domain.events import Actor, ActorKind, Envelope, Life, Recorded, topic_of
from domain.job import Job, Priority, RetryPolicy
from domain.lora_adapter import LoraAdapter, Passport
from domain.model_call import Message, ModelCall, Usage
from domain.preference import Completion, Lineage, Pair, Preference
from domain.ranking import Ballot, Outcome
from domain.roster import AgentSpec, ModelSpec
from domain.steps import CastMember, Step, Task, step_id
from domain.training import TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.training_progress import Progress
from domain.weighting import WEIGHED_LOSS
from domain.workflow import Workflow

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


def a_pair(chosen: str = "Paris.", rejected: str = "Lyon.", prompt: str = "Which city?") -> Pair:
    return Pair((Message("user", prompt),), a_completion(chosen, "ada"), a_completion(rejected, "ben"))


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


def a_dataset(position: int = 5, head: int = 9, filter: Filter | None = None, recipe: Recipe | None = None) -> Dataset:
    """Requested."""
    return Dataset.request(an_id("dataset"), position, head, filter or Filter(), NOW, recipe or Recipe())


def contents(*files: PartFile) -> Contents:
    """Of these files, or of one with three pairs."""
    return Contents(
        code="0.1.0",
        files=files or (PartFile("train", 3, 1, SHA, 100),),
        verdicts={"accepted": 1, "unsettled": 2},
        methods={"bradley-terry/1": 3},
        dropped={"unwanted": 1},
        contradictions=0,
        overlapping=0,
        overlaps=(),
        characters={"prompt": Lengths(5, 10, 20, 30, 40)},
        tokens=None,
    )


def lives(log: Iterable[Recorded]) -> list[Life]:
    """The first event of each preference and the last that decides something, in the order in which they began."""
    return lives_of(log, BEGINNING, TELLING)


def lives_of(log: Iterable[Recorded], began: str, telling: Sequence[str]) -> list[Life]:
    """The same of any aggregates."""
    found: dict[UUID, Life] = {}
    for entry in log:
        id, by = entry.event.originator_id, entry.envelope.actor.subject
        if entry.type == began:
            found[id] = Life(entry.event, entry.position, entry.recorded_at, entry.event, entry.position, by)
        elif entry.type in telling and id in found:
            found[id] = found[id]._replace(last=entry.event, position=entry.position, by=by)
    return list(found.values())


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
    """Of today's `weighting`."""
    return TrainedAdapter(name, SHA, "tiny", SHA, 20, 0.69, 0.5, seconds=60, weighting=WEIGHED_LOSS)


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


def a_job(policy: RetryPolicy | None = None, due_at: datetime = NOW) -> Job:
    """Requested."""
    return Job.request(
        id=an_id("job"),
        kind="orphans",
        queue="maintenance",
        priority=Priority.NORMAL,
        payload={},
        policy=policy or RetryPolicy(max_attempts=3, first_delay=10, longest_delay=15),
        due_at=due_at,
        schedule=None,
        at=NOW,
    )
