"""Our commands on the library's own repository and recorder: no envelope, no group commit, no memory of commands."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.domain import BaseAggregate
from eventsourcing.persistence import EventStore
from uuid_utils.compat import uuid7

from adapters.event_store import utc_now
from domain.errors import NotFound
from domain.events import Envelope
from domain.ports.events import A, Written


class LibrarySession:
    """The Session port."""

    def __init__(self, events: EventStore[UUID], envelope: Envelope) -> None:
        self._events = events
        self._repository = Repository(events)
        self.envelope = envelope

    def __enter__(self) -> LibrarySession:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def now(self) -> datetime:
        return utc_now()

    def new_id(self) -> UUID:
        return uuid7()

    def head(self) -> int:
        return self._events.recorder.max_notification_id() or 0

    def get(self, kind: type[A], id: UUID, version: int | None = None) -> A:
        aggregate = self.find(kind, id)
        if aggregate is None:
            raise NotFound(kind.__name__, id)
        return aggregate

    def find(self, kind: type[A], id: UUID) -> A | None:
        try:
            aggregate = self._repository.get(id)
        except AggregateNotFoundError:
            return None
        return aggregate if isinstance(aggregate, kind) else None

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        recordings = self._events.put([event for each in aggregates for event in each.collect_events()])
        return Written(aggregates[0].id, aggregates[0].version, recordings[-1].notification.id)


class NoOutcomes:
    """The CommandLog port, of a store that remembers no commands."""

    def outcome(self, command_id: UUID) -> None:
        return None
