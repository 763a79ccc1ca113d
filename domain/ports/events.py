"""How commands, policies and projectors reach the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import BaseAggregate

from domain.events import Envelope, Recorded

A = TypeVar("A", bound=BaseAggregate[UUID])

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Written:
    """What a command left behind: the aggregate, its version, and the position of its last event (the log's head where
    the command changed nothing)."""

    id: UUID
    version: int
    position: int


class ConcurrentWrite(Exception):
    """Two commands wrote the next version of one aggregate; this one lost and may be decided again."""


class Session(Protocol):
    """One command's work on the event store: everything that it saves carries its envelope.

    It saves once, and last: by then others may have what was loaded, which must not be used any more.
    """

    @property
    def envelope(self) -> Envelope: ...

    def now(self) -> datetime:
        """The time, aware, UTC."""

    def new_id(self) -> UUID:
        """A fresh UUIDv7."""

    def head(self) -> int:
        """The position of the last event in the store; 0 when it is empty."""

    def position_at(self, moment: datetime) -> int:
        """The position of the last event that was recorded up to that moment; 0 where none was."""

    def get(self, kind: type[A], id: UUID, version: int | None = None) -> A:
        """Raises NotFound, or VersionConflict when the aggregate is not at the `version` that the caller read."""

    def find(self, kind: type[A], id: UUID) -> A | None:
        """The aggregate, or None."""

    def history(self, id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        """One aggregate's events, in order, to that version of it (None: all); none where there is no such
        aggregate."""

    def beginnings(self, ids: Collection[UUID]) -> Sequence[Recorded]:
        """The first event of each of these aggregates that there is, in no order."""

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        """Appends what the aggregates decided, in one transaction; answers for the first one.

        Raises ConcurrentWrite when somebody else was faster.
        """


class EventLog(Protocol):
    """The events, to be read in order."""

    def head(self) -> int:
        """The position of the last event; 0 when there is none."""

    def read(self, after: int = 0, upto: int | None = None, topics: Sequence[str] = ()) -> Iterator[Recorded]:
        """Every event with after < position <= upto, in order, of these topics (all where none are named)."""

    def history(self, id: UUID) -> Sequence[Recorded]:
        """One aggregate's events, in order."""


Beginnings = Callable[[Collection[UUID]], Sequence[Recorded]]
"""The first event of each of these aggregates that there is, in no order."""

StoredRow = Mapping[str, Any]


class StoredEvents(Protocol):
    """The log undecoded, for readers that must survive an event that cannot be decoded."""

    def head(self) -> int:
        """The position of the last event; 0 when there is none."""

    def read_rows(
        self, after: int = 0, upto: int | None = None, topics: Sequence[str] = (), limit: int | None = None
    ) -> Iterable[StoredRow]:
        """Rows with after < `notification_id` <= upto, in order, of these topics; each names its `topic` and its
        aggregate, `originator_id`."""

    def rows_of(self, aggregate: UUID, upto: int, topics: Sequence[str]) -> Iterable[StoredRow]:
        """One aggregate's rows up to that position, in order, of these topics."""

    def decode(self, row: StoredRow) -> Recorded:
        """The event in such a row. Raises whatever it likes for one that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a policy has come along the log, and how many events it could not handle so far."""

    policy: str
    position: int
    parked: int


@dataclass(frozen=True, slots=True)
class SealStanding:
    """How far the log is sealed, in positions: `head` is its end; `sealed` is 0 where nothing is. `anchored` says of
    each place outside up to where the newest seal goes that was kept there."""

    head: int
    sealed: int
    anchored: Mapping[str, int]

    @property
    def unsealed(self) -> int:
        """Positions that are not sealed yet."""
        return max(0, self.head - self.sealed)


class Execute(Protocol):
    """Runs a command in somebody's name; how policies and doors ask for anything."""

    def __call__(self, command: object, envelope: Envelope) -> Written: ...


class Spans(Protocol):
    """How logs and traces are told what is being done."""

    def __call__(self, name: str, /, cause: Recorded | None = None, **ids: str | int) -> AbstractContextManager[None]:
        """While it is open, what is done is known by that name and those ids: as what follows from `cause`, where one
        is given, else as a part of the work around it."""
