"""What every event carries besides its own data: position, identity, who, why and in which trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent

EVENT_NAMESPACE = UUID("c4a7a5a2-0f5e-5d6b-9a53-3f1c5f2f0e01")


class ActorKind(StrEnum):
    HUMAN = "human"
    AGENT = "agent"
    AUTOMATION = "automation"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. Comes from the caller's token or the process, never from a request's body."""

    subject: str
    kind: ActorKind


@dataclass(frozen=True, slots=True)
class Envelope:
    """Why and by whom events are recorded; one for all the events of a command.

    `command_id` names the command so that a repeat has one effect; `fingerprint` is the SHA-256 of its content.
    `correlation_id` is shared by all that follows from one request, `causation_id` is the event or command that
    led here. `traceparent` is W3C Trace Context. `data_subjects` names persons whose data the events hold.
    """

    actor: Actor
    correlation_id: UUID
    command_id: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None
    fingerprint: bytes | None = None
    project: str = "default"
    data_subjects: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the store holds it. `position` is its place in the one total order of all events."""

    position: int
    event: AggregateEvent
    envelope: Envelope
    recorded_at: datetime

    @property
    def event_id(self) -> UUID:
        return event_id(self.event.originator_id, self.event.originator_version)

    @property
    def type(self) -> str:
        """The stable name, e.g. `workflow.requested`."""
        return topic_of(type(self.event))

    @property
    def trace_id(self) -> str | None:
        """The trace that led here, as W3C Trace Context names it; for logs."""
        traceparent = self.envelope.traceparent
        return traceparent.split("-")[1] if traceparent else None

    def followed_by(self, actor: Actor, command_id: UUID | None = None) -> Envelope:
        """The envelope of what the actor does because of this event: part of the same request, trace and project."""
        return Envelope(
            actor=actor,
            correlation_id=self.envelope.correlation_id,
            command_id=command_id,
            causation_id=self.event_id,
            traceparent=self.envelope.traceparent,
            project=self.envelope.project,
        )


class Life(NamedTuple):
    """What an aggregate began with, at which position and when; and the last event that tells of it up to some
    position, with its own, and who recorded it. They are the same where nothing more happened."""

    first: AggregateEvent
    began: int
    began_at: datetime
    last: AggregateEvent
    position: int
    by: str


def topic_of(event_type: type) -> str:
    """The stable topic that a class of aggregate or event is stored under."""
    topic: str = event_type.__dict__["TOPIC"]
    return topic


def event_id(originator_id: UUID, version: int) -> UUID:
    """An event's id follows from its place in its aggregate, so every reader derives the same one."""
    return uuid5(EVENT_NAMESPACE, event_name(originator_id, version))


def event_name(originator_id: UUID, version: int) -> str:
    """What an event's id is made of."""
    return f"{originator_id}/{version}"
