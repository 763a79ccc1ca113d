"""Whenever X happened, do Y: drives a policy along the event log, from a checkpoint of its own.

News only wakes it: what it handles, it reads from the log. So lost, repeated or wiped news costs a moment at most. The
checkpoint moves after the handler is done, so an event may be handled twice, and every handler is idempotent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from loguru import logger

from commands.policies.in_logs import in_logs
from domain.errors import DomainError
from domain.events import Recorded
from domain.ports.events import Spans, StoredEvents, StoredRow
from domain.text import excerpt

DELAYS = (0.5, 1, 2, 4, 8, 16)
"""Seconds between tries of one event, before it is parked."""
PARKED_SECONDS = 60.0
"""Between tries of what is parked."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about the events of these topics. `handle` may be called twice for one event."""

    name: str
    topics: tuple[str, ...]
    handle: Callable[[Recorded], Awaitable[None]]


class Checkpoints(Protocol):
    """How far each policy has come, and which events it could not handle."""

    def position(self, policy: str) -> int:
        """The last position that is done; 0 at the beginning."""

    def move(self, policy: str, position: int) -> None:
        """Everything up to that position is done. Never goes back."""

    def park(self, policy: str, position: int, reason: str) -> None:
        """Keeps the position of an event that could not be handled, and moves past it, in one transaction."""

    def parked(self, policy: str) -> Sequence[int]:
        """The positions of the parked events, in order."""

    def release(self, policy: str, position: int) -> None:
        """The parked event is handled now."""


class PolicyRunner:
    """Runs one policy. An event that cannot be decoded or handled is parked, and tried again each minute: it stops
    nobody, and what was parked because of an outage is made up for."""

    def __init__(
        self,
        policy: Policy,
        events: StoredEvents,
        checkpoints: Checkpoints,
        poll_seconds: float = 1.0,
        delays: Sequence[float] = DELAYS,
        parked_seconds: float = PARKED_SECONDS,
        span: Spans = in_logs,
    ) -> None:
        self._policy = policy
        self._events = events
        self._checkpoints = checkpoints
        self._poll_seconds = poll_seconds
        self._delays = delays
        self._parked_seconds = parked_seconds
        self._span = span
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is news. To be called on the event loop."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A store that cannot be reached is asked again at the next poll."""
        retry_at = 0.0
        while not stop.is_set():
            self._woken.clear()
            try:
                if time.monotonic() >= retry_at:
                    await self._retry_parked()
                    retry_at = time.monotonic() + self._parked_seconds
                await self._catch_up(stop)
            except Exception:
                logger.exception("policy {} could not read or keep its place; it goes on", self._policy.name)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._poll_seconds)

    async def _catch_up(self, stop: asyncio.Event) -> None:
        name = self._policy.name
        done = await asyncio.to_thread(self._checkpoints.position, name)
        head = await asyncio.to_thread(self._events.head)
        if head == done:
            return
        rows = iter(self._events.read_rows(done, head, self._policy.topics))
        while row := await asyncio.to_thread(next, rows, None):
            if stop.is_set():
                return
            position = row["notification_id"]
            if reason := await self._failure(row, self._delays, stop):
                if stop.is_set():
                    return
                await asyncio.to_thread(self._checkpoints.park, name, position, reason)
            else:
                await asyncio.to_thread(self._checkpoints.move, name, position)
        await asyncio.to_thread(self._checkpoints.move, name, head)

    async def _retry_parked(self) -> None:
        name = self._policy.name
        for position in await asyncio.to_thread(self._checkpoints.parked, name):
            (row,) = await asyncio.to_thread(list, self._events.read_rows(position - 1, position))
            if not await self._failure(row, delays=(), stop=asyncio.Event()):
                await asyncio.to_thread(self._checkpoints.release, name, position)

    async def _failure(self, row: StoredRow, delays: Sequence[float], stop: asyncio.Event) -> str | None:
        """Why the event could not be handled; None when it was. Once `stop` is set it is not tried again."""
        name, position = self._policy.name, row["notification_id"]
        try:
            recorded = self._events.decode(row)
        except Exception as error:
            logger.exception("policy {} cannot decode {} at {}, and parks it", name, row["topic"], position)
            return _reason(error)
        with self._span(f"policy {name}", recorded, policy=name, run=str(recorded.event.originator_id)):
            for delay in (*delays, None):
                try:
                    await self._policy.handle(recorded)
                except Exception as error:
                    if delay is None or isinstance(error, DomainError) or stop.is_set():
                        logger.exception("policy {} could not handle {} at {}", name, recorded.type, position)
                        return _reason(error)
                    logger.warning("policy {} failed at {} ({}); again soon", name, position, _reason(error))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), delay)
                else:
                    return None
        raise AssertionError("unreachable: the last try returns")


def _reason(error: Exception) -> str:
    return excerpt(f"{type(error).__name__}: {error}")
