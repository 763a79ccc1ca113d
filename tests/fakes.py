"""Ports kept in memory, for tests of commands and policies that need no server."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from threading import RLock
from typing import Any, Self
from uuid import UUID, uuid4

from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.domain import BaseAggregate, DomainEventProtocol
from eventsourcing.persistence import EventStore, IntegrityError
from eventsourcing.popo import POPOApplicationRecorder
from uuid_utils.compat import uuid7

from adapters.event_json import PlainJsonMapper
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.kinds import KINDS
from domain.errors import Invalid, NotFound, VersionConflict
from domain.events import Actor, ActorKind, Envelope, Life, Recorded
from domain.ports.events import A, ConcurrentWrite, StoredRow, Written
from domain.roster import AgentSpec, ModelSpec
from tests.builders import lives_of

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
SOMEBODY = Actor("somebody", ActorKind.HUMAN)
BASE_MODELS = ("tiny",)


def an_envelope(command_id: UUID | None = None, fingerprint: bytes | None = None) -> Envelope:
    """Somebody's, of a request of its own."""
    return Envelope(SOMEBODY, correlation_id=uuid4(), command_id=command_id, fingerprint=fingerprint)


class MemoryEventStore:
    """The EventLog, CommandLog and sessions of PostgresEventStore over the library's own recorder in memory.

    Its clock ticks once a second from `BEGINNING`. Threads may share it.
    """

    def __init__(self) -> None:
        self._recorder = POPOApplicationRecorder()
        self._mapper = PlainJsonMapper()
        self._events = EventStore(self._mapper, self._recorder)
        self._repository = Repository(self._events)
        self._envelopes: dict[int, tuple[Envelope, datetime]] = {}
        self._outcomes: dict[UUID, tuple[Written, bytes | None]] = {}
        self._ticks = count(1)
        self._lock = RLock()

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=next(self._ticks))

    def session(self, envelope: Envelope) -> MemorySession:
        return MemorySession(self, envelope)

    def bus(self, base_models: Collection[str] = BASE_MODELS) -> CommandBus:
        """Every command, over this store."""
        return CommandBus(handlers(KINDS, JsonRoster(), base_models), self.session, self)

    def head(self) -> int:
        return self._recorder.max_notification_id() or 0

    def read(self, after: int = 0, upto: int | None = None, topics: Sequence[str] = ()) -> Iterator[Recorded]:
        with self._lock:
            found = self._recorder.select_notifications(
                after, limit=self.head() + 1, stop=upto, topics=topics, inclusive_of_start=False
            )
            recorded = [Recorded(row.id, self._mapper.to_domain_event(row), *self._envelopes[row.id]) for row in found]
        yield from recorded

    def lives(
        self, began: str, upto: int, telling: Sequence[str], after: int = 0, until: int = 1 << 62
    ) -> Iterator[Life]:
        lives = lives_of(self.read(upto=upto), began, telling)
        yield from (life for life in lives if after < life.began <= until)

    def cut(self, began: str, after: int, upto: int, lives: int) -> int | None:
        found = (recorded.position for recorded in self.read(after, upto, (began,)))
        return next(islice(found, lives - 1, None), None)

    def position_at(self, moment: datetime) -> int:
        return max((each.position for each in self.read() if each.recorded_at <= moment), default=0)

    def read_rows(
        self, after: int = 0, upto: int | None = None, topics: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[StoredRow]:
        for recorded in islice(self.read(after, upto, topics), limit):
            yield {"notification_id": recorded.position, "topic": recorded.type, "recorded": recorded}

    def rows_of(self, aggregate: UUID, upto: int, topics: Sequence[str]) -> Iterator[StoredRow]:
        yield from (row for row in self.read_rows(0, upto, topics) if row["recorded"].event.originator_id == aggregate)

    def decode(self, row: StoredRow) -> Recorded:
        recorded: Recorded = row["recorded"]
        return recorded

    def history(self, id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        return [recorded for recorded in self.read() if recorded.event.originator_id == id][:upto]

    def beginnings(self, ids: Collection[UUID]) -> Sequence[Recorded]:
        firsts = (recorded for recorded in self.read() if recorded.event.originator_version == 1)
        return [recorded for recorded in firsts if recorded.event.originator_id in ids]

    def outcome(self, command_id: UUID) -> tuple[Written, bytes | None] | None:
        with self._lock:
            return self._outcomes.get(command_id)

    def keep_outcome(self, envelope: Envelope, written: Written) -> None:
        """Remembers a command that wrote nothing. Raises ConcurrentWrite for one that is known already."""
        assert envelope.command_id
        with self._lock:
            if envelope.command_id in self._outcomes:
                raise ConcurrentWrite(f"command {envelope.command_id} was executed at the same moment")
            self._outcomes[envelope.command_id] = written, envelope.fingerprint

    def load(self, id: UUID) -> BaseAggregate[UUID] | None:
        try:
            aggregate: BaseAggregate[UUID] = self._repository.get(id)
        except AggregateNotFoundError:
            return None
        return aggregate

    def append(
        self, events: Sequence[DomainEventProtocol[UUID]], first: BaseAggregate[UUID], envelope: Envelope
    ) -> Written:
        """Raises ConcurrentWrite for a version, or a command id, that is there already."""
        with self._lock:
            if envelope.command_id in self._outcomes:
                raise ConcurrentWrite(f"command {envelope.command_id} was executed at the same moment")
            at = self.now()
            try:
                recordings = self._events.put(events)
            except IntegrityError as conflict:
                raise ConcurrentWrite(f"{first.id} was changed at the same moment") from conflict
            positions = [recording.notification.id for recording in recordings]
            self._envelopes |= dict.fromkeys(positions, (envelope, at))
            written = Written(first.id, first.version, positions[-1])
            if envelope.command_id:
                self._outcomes[envelope.command_id] = written, envelope.fingerprint
            return written


class MemorySession:
    """The Session port over a MemoryEventStore."""

    def __init__(self, store: MemoryEventStore, envelope: Envelope) -> None:
        self._store = store
        self.envelope = envelope

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to end."""

    def now(self) -> datetime:
        return self._store.now()

    def new_id(self) -> UUID:
        return uuid7()

    def head(self) -> int:
        return self._store.head()

    def position_at(self, moment: datetime) -> int:
        return self._store.position_at(moment)

    def get(self, kind: type[A], id: UUID, version: int | None = None) -> A:
        aggregate = self.find(kind, id)
        if aggregate is None:
            raise NotFound(kind.__name__, id)
        if version is not None and aggregate.version != version:
            raise VersionConflict(version, aggregate.version)
        return aggregate

    def find(self, kind: type[A], id: UUID) -> A | None:
        aggregate = self._store.load(id)
        return aggregate if isinstance(aggregate, kind) else None

    def history(self, id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        return self._store.history(id, upto)

    def beginnings(self, ids: Collection[UUID]) -> Sequence[Recorded]:
        return self._store.beginnings(ids)

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        first = aggregates[0]
        events = [event for aggregate in aggregates for event in aggregate.collect_events()]
        if not events:
            written = Written(first.id, first.version, self.head())
            if self.envelope.fingerprint is not None:
                self._store.keep_outcome(self.envelope, written)
            return written
        return self._store.append(events, first, self.envelope)


class MemoryCheckpoints:
    """The Checkpoints port."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.reasons: dict[tuple[str, int], str] = {}

    def position(self, policy: str) -> int:
        return self.positions.get(policy, 0)

    def move(self, policy: str, position: int) -> None:
        self.positions[policy] = max(position, self.position(policy))

    def park(self, policy: str, position: int, reason: str) -> None:
        self.reasons[policy, position] = reason
        self.move(policy, position)

    def parked(self, policy: str) -> Sequence[int]:
        return sorted(position for name, position in self.reasons if name == policy)

    def release(self, policy: str, position: int) -> None:
        del self.reasons[policy, position]


class LivingWorkers(set[str]):
    """The Workers port: those in the set are alive."""

    def alive(self, worker: str) -> bool:
        return worker in self


class JsonRoster:
    """The RosterFormat port: a roster is a JSON list of names."""

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        try:
            names = json.loads(text)
        except json.JSONDecodeError as error:
            raise Invalid(str(error)) from error
        return tuple(AgentSpec(name, "", "", ModelSpec("openai", "tiny")) for name in names)

    def changed(self, agent: AgentSpec, changes: Mapping[str, Any]) -> AgentSpec:
        model = ModelSpec(**changes["model"]) if "model" in changes else agent.model
        return replace(agent, **{**changes, "model": model})

    def put_agent(self, text: str, name: str, fields: Mapping[str, Any]) -> str:
        return json.dumps([*json.loads(text), name])

    def patch_agent(self, text: str, name: str, changes: Mapping[str, Any]) -> str:
        return json.dumps([changes.get("name", one) if one == name else one for one in json.loads(text)])

    def remove_agent(self, text: str, name: str) -> str:
        return json.dumps([one for one in json.loads(text) if one != name])
