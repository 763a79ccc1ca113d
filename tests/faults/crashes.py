"""Simulated deaths of processes: around an append, and at any statement that is sent to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from sqlalchemy import Engine, event

from adapters.event_store import PostgresEventStore, PostgresSession
from commands.workflows import StartWorkflow
from domain.events import Envelope
from domain.ports.events import ConcurrentWrite, Execute, Written


class Crash(BaseException):
    """The process died. Not an Exception: nothing of ours can catch it, as nothing can catch a kill -9."""


class Fate(StrEnum):
    """What becomes of the process that saves."""

    LIVES = "lives"
    DIES_BEFORE = "dies before it appends"
    DIES_AFTER = "dies after it has appended, before it can reply"
    REPLY_LOST = "appends, and is told that somebody else did"
    OUTRUN = "appends after somebody else did"


class FatedSession(PostgresSession):
    """A session whose save meets its fate. After an outage the store sends a save again, and if the outage hid its
    success, finds its own events in the way: REPLY_LOST. The `rival` changes the same aggregate: OUTRUN."""

    def __init__(
        self, store: PostgresEventStore, envelope: Envelope, fate: Fate, rival: Callable[[UUID], None]
    ) -> None:
        super().__init__(store, envelope)
        self._fate = fate
        self._rival = rival

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        if self._fate is Fate.DIES_BEFORE:
            raise Crash
        if self._fate is Fate.OUTRUN:
            self._rival(aggregates[0].id)
        written = super().save(*aggregates)
        if self._fate is Fate.DIES_AFTER:
            raise Crash
        if self._fate is Fate.REPLY_LOST:
            raise ConcurrentWrite("the reply was lost")
        return written


class Mortal:
    """Executes so many commands after a run's start, and then dies; the last one is executed, or not, by `in_time`."""

    def __init__(self, execute: Execute, commands: int, in_time: bool) -> None:
        self._execute = execute
        self._left = commands
        self._in_time = in_time

    def __call__(self, command: object, envelope: Envelope) -> Written:
        if isinstance(command, StartWorkflow):
            return self._execute(command, envelope)
        self._left -= 1
        if self._left == -1 and self._in_time:
            self._execute(command, envelope)
        if self._left < 0:
            raise Crash
        return self._execute(command, envelope)


@contextmanager
def dying_after(engine: Engine, statements: int) -> Iterator[None]:
    """Whoever uses the engine dies at that statement, or COMMIT; it rolls back, and its connections are gone."""
    left = statements

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)
        event.remove(engine, "commit", count)
        if left < 0:
            engine.dispose()
