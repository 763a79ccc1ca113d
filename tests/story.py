"""A small story in which everything happens that can happen: every event type at least once, always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate

from domain.dataset import Dataset, Filter
from domain.events import Actor, ActorKind, Envelope, Recorded, event_id
from domain.lora_adapter import LoraAdapter, Passport
from domain.model_call import Message, ModelCall, ToolCall, Usage
from domain.preference import Completion, Lineage, Pair, Preference, Verdict
from domain.ranking import Ballot, Outcome
from domain.roster import AgentRoster, AgentSpec, ModelSpec, Sampling
from domain.training import Progress, TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.workflow import CastMember, Step, Task, Workflow, step_id

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ANNOTATOR = Actor("ada", ActorKind.HUMAN)
SHA = "c0ffee" * 10 + "c0de"


def id_of(name: str) -> UUID:
    """The same id for the same name, always."""
    return uuid5(UUID(int=0), name)


ENVELOPE = Envelope(ANNOTATOR, correlation_id=id_of("correlation"))


def at(second: int) -> datetime:
    """So many seconds into the story."""
    return BEGINNING + timedelta(seconds=second)


def everything() -> list[BaseAggregate[UUID]]:
    """Every aggregate of the story, with its events still to be saved."""
    return [
        roster(),
        completed_run(),
        failed_run(),
        stopped_run(),
        *preferences(),
        dataset(),
        completed_training(),
        failed_training(),
        cancelled_training(),
        promoted_adapter(),
        retired_adapter(),
    ]


def envelope(aggregate: object) -> Envelope:
    """That of all its events: the completed run led to the preferences, and nothing is known of the rest."""
    return replace(ENVELOPE, causation_id=event_id(RUN, 9)) if isinstance(aggregate, Preference) else ENVELOPE


def events() -> list[AggregateEvent]:
    """All events of the story, in order."""
    return [event for aggregate in everything() for event in aggregate.collect_events()]  # type: ignore[misc]


def recorded(events: Sequence[AggregateEvent], envelope: Envelope = ENVELOPE) -> Iterator[Recorded]:
    """The events as a store would give them back, from position 1 on."""
    for position, event in enumerate(events, start=1):
        yield Recorded(position, event, envelope, at(position))


def roster() -> AgentRoster:
    model = ModelSpec("embedded", "smollm2-135m-instruct", None, None, Sampling(0.7, 0.9, 64, 1))
    agents = (
        AgentSpec("ada", "poet", "You are a poet.", model, "team", "likelihood"),
        AgentSpec("bob", "critic", "You are a critic.", model, None, "verdict", ("search",)),
    )
    roster = AgentRoster.begin("agents: [ada]\n", SHA, agents[:1], "the first", at=at(0))
    roster.revise("agents: [ada, bob]\n", SHA[::-1], agents, "bob joins", at=at(1))
    return roster


def call(output: str, score: float | None = None) -> ModelCall:
    return ModelCall(
        messages=(Message("system", "You are a poet."), Message("user", 'Write a haiku about "rain".\n100% wet')),
        output=output,
        model="team",
        usage=Usage(21, 13),
        latency=0.25,
        finish_reason="stop",
        adapter="team@1",
        model_revision="smollm2-135m-instruct:abc",
        tool_calls=(ToolCall("search", '{"q": "rain"}', '["wet"]'),),
        score=score,
    )


TASK = Task(("Write a haiku about rain.", "Now about snow."), "haiku-1", "writing")


def _run(name: str) -> Workflow:
    return Workflow.request(
        id=id_of(name),
        kind="mutual_ranking",
        task=TASK,
        roster_revision=2,
        agents=("ada", "bob"),
        batch="first",
        max_tokens=48,
        at=at(10),
    )


CAST = (CastMember("ada", "team@1"), CastMember("bob", None))
RUN = id_of("completed run")
STEPS = {agent: step_id(RUN, agent, "answer", 0) for agent in ("ada", "bob")}
BALLOTS = (id_of("ballot 1"), id_of("ballot 2"))


def completed_run() -> Workflow:
    run = _run("completed run")
    run.start("worker-1", CAST, at=at(11))
    run.start("worker-2", CAST, at=at(12))
    for agent, output in (("ada", "Soft rain — on the roof"), ("bob", "It rains.")):
        run.record_step(2, Step(STEPS[agent], agent, "answer", 0, call(output)), at=at(13))
    score = step_id(RUN, "ada", "score", 0)
    run.record_step(2, Step(score, "ada", "score", 0, call("", score=-1.5)), at=at(14))
    first, second = STEPS["ada"], STEPS["bob"]
    run.cast_ballot(
        2, Ballot(BALLOTS[0], "ada", "likelihood/1", first, second, Outcome.FIRST, (score,), 0.5), at=at(15)
    )
    run.cast_ballot(2, Ballot(BALLOTS[1], "bob", "verdict/1", second, first, Outcome.UNPARSEABLE, ()), at=at(16))
    run.complete(2, at=at(17))
    return run


def failed_run() -> Workflow:
    run = _run("failed run")
    run.start("worker-1", CAST, at=at(11))
    run.fail(1, "the model is gone", at=at(12))
    return run


def stopped_run() -> Workflow:
    run = _run("stopped run")
    run.stop("changed my mind", at=at(12))
    return run


PAIR = Pair(
    prompt=(Message("user", "Write a haiku about rain."),),
    chosen=Completion((Message("assistant", "Soft rain — on the roof"),), "ada", STEPS["ada"]),
    rejected=Completion((Message("assistant", "It rains."),), "bob", STEPS["bob"]),
)


def preference(name: str) -> Preference:
    """As the ballots propose it."""
    lineage = Lineage(RUN, BALLOTS)
    return Preference.propose(id_of(name), PAIR, 0.75, 1.0986, "bradley-terry/1", lineage, at=at(20))


def preferences() -> list[Preference]:
    """One of each standing."""
    waiting, accepted, flipped, edited, rejected, withdrawn = (
        preference(name) for name in ("waiting", "accepted", "flipped", "edited", "rejected", "withdrawn")
    )
    accepted.annotate(Verdict.ACCEPTED, "yes", at=at(21))
    flipped.annotate(Verdict.FLIPPED, "the other", at=at(22))
    edited.revise("Soft rain on old roofs", None, "seven syllables", at=at(23))
    rejected.annotate(Verdict.REJECTED, "neither", at=at(24))
    withdrawn.withdraw("a test", at=at(25))
    return [waiting, accepted, flipped, edited, rejected, withdrawn]


def dataset() -> Dataset:
    dataset = Dataset.request(id_of("dataset"), 30, 40, Filter(0.5, True, (RUN,)), at=at(30))
    dataset.built(3, 3, SHA, 4096, at=at(31))
    return dataset


CONFIG = TrainingConfig(steps=2)


def _training(name: str) -> TrainingRun:
    base = "smollm2-135m-instruct"
    return TrainingRun.request(id_of(name), id_of("dataset"), SHA, 30, base, "team", CONFIG, at=at(40))


def completed_training() -> TrainingRun:
    run = _training("completed training")
    run.start("trainer-1", "team@1", at=at(41))
    run.progress(1, Progress(1, 2, 0.69, 0.0, 0.5, 3.0, 1.5), at=at(42))
    run.progress(1, Progress(2, 2, 0.41, 0.8, 1.0, 0.0, 1.5), at=at(43))
    trained = TrainedAdapter("team@1", SHA, "smollm2-135m-instruct", SHA[::-1], 3, 0.69, 0.41, 6.0)
    run.complete(1, trained, at=at(44))
    return run


def failed_training() -> TrainingRun:
    run = _training("failed training")
    run.start("trainer-1", "team@2", at=at(41))
    run.fail(1, "out of memory", at=at(42))
    return run


def cancelled_training() -> TrainingRun:
    run = _training("cancelled training")
    run.cancel("too slow", at=at(41))
    return run


def adapter(revision: int) -> LoraAdapter:
    adapter = LoraAdapter.reserve("team", revision, id_of("completed training"), at=at(41))
    adapter.register(
        Passport(
            alias="team",
            revision=revision,
            sha256=SHA,
            base_model="smollm2-135m-instruct",
            base_sha256=SHA[::-1],
            training_run=id_of("completed training"),
            dataset_id=id_of("dataset"),
            dataset_sha256=SHA,
            position=30,
            pairs=3,
            config=CONFIG,
        ),
        at=at(50),
    )
    return adapter


def promoted_adapter() -> LoraAdapter:
    first = adapter(1)
    first.promote("the first", at=at(51))
    return first


def retired_adapter() -> LoraAdapter:
    second = adapter(2)
    second.promote("better", at=at(52))
    second.retire("worse after all", at=at(53))
    return second
