"""Every event: a stable name, an id that follows from its place, and the envelope of what comes of it."""

from __future__ import annotations

from uuid import uuid4

from domain.catalogue import AGGREGATES, EVENT_TYPES, aggregate_topic, topics_of
from domain.events import Actor, ActorKind, Envelope, Recorded, event_id, topic_of
from domain.preference import Preference
from tests.builders import NOW, a_preference, an_id

NAMES = [
    "agent_roster.revised",
    "batch.completed",
    "batch.paused",
    "batch.requested",
    "batch.resumed",
    "batch.retried",
    "batch.run_ended",
    "batch.run_not_retried",
    "batch.run_requested",
    "batch.run_retried",
    "batch.stopped",
    "dataset.built",
    "dataset.requested",
    "evaluation.cancelled",
    "evaluation.completed",
    "evaluation.failed",
    "evaluation.requested",
    "job.attempt_failed",
    "job.cancelled",
    "job.dead_lettered",
    "job.progressed",
    "job.released",
    "job.replayed",
    "job.requested",
    "job.started",
    "job.succeeded",
    "lora_adapter.promoted",
    "lora_adapter.registered",
    "lora_adapter.reserved",
    "lora_adapter.retired",
    "lora_adapter.rolled_back",
    "preference.annotated",
    "preference.assigned",
    "preference.noted",
    "preference.proposed",
    "preference.revised",
    "preference.skipped",
    "preference.unassigned",
    "preference.undone",
    "preference.withdrawn",
    "rubric.published",
    "training_run.cancelled",
    "training_run.completed",
    "training_run.failed",
    "training_run.progressed",
    "training_run.requested",
    "training_run.started",
    "workflow.ballot_cast",
    "workflow.completed",
    "workflow.exhausted",
    "workflow.failed",
    "workflow.paused",
    "workflow.released",
    "workflow.requested",
    "workflow.resumed",
    "workflow.retried",
    "workflow.started",
    "workflow.step_begun",
    "workflow.step_recorded",
    "workflow.stopped",
    "workflow.timed_out",
    "workflow.tool_used",
    "workflow.workforce_reported",
]


def test_the_catalogue_knows_every_event_by_its_name() -> None:
    assert sorted(EVENT_TYPES) == NAMES
    assert {topic_of(aggregate) for aggregate in AGGREGATES} == {aggregate_topic(name) for name in NAMES}
    assert all(topic_of(event_type) == name for name, event_type in EVENT_TYPES.items())


def test_a_reader_can_ask_for_the_events_of_one_kind_of_aggregate() -> None:
    assert sorted(topics_of(Preference)) == [name for name in NAMES if name.startswith("preference.")]


def test_an_events_id_follows_from_its_place() -> None:
    places = [(an_id(name), version) for name in ("one", "two") for version in (1, 2, 12)]
    assert event_id(*places[0]) == event_id(*places[0])
    assert len({event_id(*place) for place in places}) == len(places)


def test_what_follows_from_an_event_belongs_to_the_same_request_and_names_its_cause() -> None:
    asked = Envelope(Actor("ada", ActorKind.HUMAN), uuid4(), command_id=uuid4(), traceparent="00-ab-cd-01", project="p")
    (proposed,) = a_preference().pending_events
    cause = Recorded(7, proposed, asked, NOW)  # type: ignore[arg-type]
    automation = Actor("worker", ActorKind.AUTOMATION)
    envelope = cause.followed_by(automation)
    assert envelope == Envelope(
        automation,
        asked.correlation_id,
        causation_id=cause.event_id,
        traceparent=asked.traceparent,
        project="p",
    )
    assert cause.type == "preference.proposed"
