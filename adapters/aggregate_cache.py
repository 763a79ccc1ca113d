"""Aggregates kept in memory between commands, each lent to one command at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from eventsourcing.persistence import StoredEvent

MOST_AGGREGATES = 1_000
MOST_BYTES = 128 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Loaded:
    """An aggregate as the event at `position`, whose digest is `event`, left it.

    `snapshot` is its version at its last snapshot, 0 without one; `bytes` is how much was read or written to make it:
    more than it holds, but for the overhead of Python's objects.
    """

    aggregate: BaseAggregate[UUID]
    position: int
    event: bytes
    snapshot: int = 0
    bytes: int = 0

    def wrote(self, stored: Iterable[tuple[int, StoredEvent]]) -> None:
        """Takes in at which positions those of the events that are the aggregate's own were stored."""
        for position, event in stored:
            if event.originator_id == self.aggregate.id:
                self.bytes += len(event.state)
                if event.originator_version == self.aggregate.version:
                    self.position = position
                    self.event = digest(event.topic, event.state)


def digest(topic: str, state: bytes) -> bytes:
    """By which to know an event again: a restored store hands out its version and its position a second time."""
    return sha256(topic.encode() + b"\0" + state).digest()


class AggregateCache:
    """Gives up what was not asked for the longest. Threads may share it: what one has taken, no other gets."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, Loaded] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __contains__(self, id: UUID) -> bool:
        return id in self._kept

    def take(self, id: UUID) -> Loaded | None:
        """The aggregate, which is the caller's alone until it is put back."""
        with self._lock:
            return self._remove(id)

    def put(self, loaded: Loaded) -> None:
        """The caller lets go of it. Of two of the same aggregate the newer one is kept, and none that is too large."""
        if loaded.bytes > MOST_BYTES:
            return
        id = loaded.aggregate.id
        with self._lock:
            other = self._remove(id)
            self._kept[id] = other if other and other.aggregate.version > loaded.aggregate.version else loaded
            self._bytes += self._kept[id].bytes
            while len(self._kept) > MOST_AGGREGATES or self._bytes > MOST_BYTES:
                self._remove(next(iter(self._kept)))

    def _remove(self, id: UUID) -> Loaded | None:
        loaded = self._kept.pop(id, None)
        if loaded:
            self._bytes -= loaded.bytes
        return loaded
