"""Every kind of event there is, by its stable topic. What is not listed here is never loaded from a stored row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate

from domain.batch import Batch
from domain.dataset import Dataset
from domain.evaluation import Evaluation
from domain.events import topic_of
from domain.job import Job
from domain.lora_adapter import LoraAdapter
from domain.preference import Preference
from domain.roster import AgentRoster
from domain.rubric import Rubric
from domain.training import TrainingRun
from domain.workflow import Workflow

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

AGGREGATES: tuple[type[BaseAggregate[UUID]], ...] = (
    Workflow,
    Preference,
    Dataset,
    TrainingRun,
    LoraAdapter,
    Evaluation,
    AgentRoster,
    Job,
    Batch,
    Rubric,
)


def _event_types() -> Iterator[tuple[str, type[AggregateEvent]]]:
    for aggregate in AGGREGATES:
        for member in vars(aggregate).values():
            if isinstance(member, type) and issubclass(member, AggregateEvent) and "TOPIC" in vars(member):
                yield vars(member)["TOPIC"], member


EVENT_TYPES: dict[str, type[AggregateEvent]] = dict(_event_types())


def schema_version(event_type: type[AggregateEvent]) -> int:
    """The version of an event's data, 1 unless the class says otherwise (`class_version`, with upcasters beside it)."""
    version: int = getattr(event_type, "class_version", 1)
    return version


def upcaster(event_type: type[AggregateEvent], version: int) -> Upcaster:
    """Makes the data of that version into the next one's: `upcast_v1_v2` beside the event, a static method that returns
    a new dict and depends on nothing but what it is given."""
    upcast: Upcaster = getattr(event_type, f"upcast_v{version}_v{version + 1}")
    return upcast


def aggregate_topic(topic: str) -> str:
    """The aggregate that an event's topic belongs to: `workflow` of `workflow.requested`."""
    return topic.partition(".")[0]


def topics_of(aggregate: type[BaseAggregate[UUID]]) -> tuple[str, ...]:
    """The topics of all its events, for readers of the log who want these alone."""
    return tuple(topic for topic in EVENT_TYPES if aggregate_topic(topic) == topic_of(aggregate))
