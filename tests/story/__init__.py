"""A small story in which everything happens that can happen: every event type at least once, always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate

from domain.events import Envelope, Recorded, event_id
from domain.preference import Preference
from tests.story.evaluations import FIGURES, cancelled_evaluation, completed_evaluation, failed_evaluation
from tests.story.jobs import cancelled_job, dead_job, job_with_large_result, replayed_job
from tests.story.learning import (
    adapter,
    cancelled_training,
    completed_training,
    dataset,
    failed_training,
    promoted_adapter,
    requested_training,
    retired_adapter,
    rolled_back_adapter,
)
from tests.story.pairs import contested, preference, preferences, rubric
from tests.story.runs import (
    BALLOTS,
    CAST,
    RUN,
    STEPS,
    TASK,
    completed_run,
    failed_run,
    forked_run,
    retried_run,
    roster,
    stopped_batch,
    stopped_run,
    timed_out_run,
    workforce_run,
)
from tests.story.telling import BEGINNING, ENVELOPE, SHA, at, id_of

__all__ = [
    "BALLOTS",
    "BEGINNING",
    "CAST",
    "ENVELOPE",
    "FIGURES",
    "RUN",
    "SHA",
    "STEPS",
    "TASK",
    "adapter",
    "at",
    "cancelled_training",
    "completed_run",
    "dataset",
    "dead_job",
    "envelope",
    "events",
    "everything",
    "failed_run",
    "id_of",
    "preference",
    "preferences",
    "promoted_adapter",
    "recorded",
    "requested_training",
    "retired_adapter",
    "roster",
    "stopped_run",
]


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
        retried_run(),
        timed_out_run(),
        forked_run(),
        replayed_job(),
        cancelled_job(),
        dead_job(),
        job_with_large_result(),
        workforce_run(),
        stopped_batch(),
        *contested(),
        rubric(),
        rolled_back_adapter(),
        completed_evaluation(),
        failed_evaluation(),
        cancelled_evaluation(),
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
