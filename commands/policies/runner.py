"""Whenever X happened, do Y: drives a policy along the event log, from a checkpoint of its own.

News only wakes it: what it handles, it reads from the log. So lost, repeated or wiped news costs a moment at most. The
checkpoint moves after the handler is done, so an event may be handled twice, and every handler is idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from loguru import logger

from domain.errors import DomainError
from domain.events import Recorded
from domain.ports import EventLog

DELAYS = (0.5, 1, 2, 4, 8, 16)
"""Seconds between tries of one event, before it is parked."""


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
    """Runs one policy. An event that cannot be handled is parked, and tried again at the next start."""

    def __init__(
        self,
        policy: Policy,
        log: EventLog,
        checkpoints: Checkpoints,
        poll_seconds: float = 1.0,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self._policy = policy
        self._log = log
        self._checkpoints = checkpoints
        self._poll_seconds = poll_seconds
        self._delays = delays
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is news. To be called on the event loop."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A store that cannot be reached is asked again at the next poll."""
        retried = False
        while not stop.is_set():
            self._woken.clear()
            try:
                if not retried:
                    await self._retry_parked()
                    retried = True
                await self._catch_up(stop)
            except Exception:
                logger.exception("policy {} could not read or keep its place; it goes on", self._policy.name)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._poll_seconds)

    async def _catch_up(self, stop: asyncio.Event) -> None:
        name = self._policy.name
        done = await asyncio.to_thread(self._checkpoints.position, name)
        head = await asyncio.to_thread(self._log.head)
        if head == done:
            return
        events = iter(self._log.read(done, head, self._policy.topics))
        while recorded := await asyncio.to_thread(next, events, None):
            if stop.is_set():
                return
            if reason := await self._failure(recorded, self._delays):
                await asyncio.to_thread(self._checkpoints.park, name, recorded.position, reason)
            else:
                await asyncio.to_thread(self._checkpoints.move, name, recorded.position)
        await asyncio.to_thread(self._checkpoints.move, name, head)

    async def _retry_parked(self) -> None:
        name = self._policy.name
        for position in await asyncio.to_thread(self._checkpoints.parked, name):
            (recorded,) = await asyncio.to_thread(list, self._log.read(position - 1, position))
            if not await self._failure(recorded, delays=()):
                await asyncio.to_thread(self._checkpoints.release, name, position)

    async def _failure(self, recorded: Recorded, delays: Sequence[float]) -> str | None:
        """Why the event could not be handled; None when it was."""
        for delay in (*delays, None):
            try:
                await self._policy.handle(recorded)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if delay is None or isinstance(error, DomainError):
                    logger.exception("policy {} parks {} at {}", self._policy.name, recorded.type, recorded.position)
                    return reason
                logger.warning("policy {} failed at {} ({}); again soon", self._policy.name, recorded.position, reason)
                await asyncio.sleep(delay)
            else:
                return None
        raise AssertionError("unreachable: the last try returns")
