"""The runs that wait for this process, each of them once, whoever found it: news, the sweep, or a failure.

The oldest comes first, as their ids tell their age: a run that lost its worker does not queue behind those that were
asked for after it. One that could not be handled comes after those that were not tried as often.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from loguru import logger

POLL_SECONDS = 0.5


class Intake:
    """A queue of runs, by their ids (UUIDv7). All but the constructor is to be called on the event loop."""

    def __init__(self, put_back_seconds: float) -> None:
        self._put_back_seconds = put_back_seconds
        self._waiting: asyncio.PriorityQueue[tuple[int, UUID]] = asyncio.PriorityQueue()
        self._failures: dict[UUID, int] = {}  # of each run that waits or is being handled

    def offer(self, run: UUID) -> None:
        """A run that waits, or is being handled, is known already and ignored."""
        if run not in self._failures:
            self._failures[run] = 0
            self._waiting.put_nowait((0, run))

    async def offered(self, stop: asyncio.Event) -> AsyncIterator[UUID]:
        """Each run in its turn, until `stop` is set. Hand it to `handled` then."""
        while not stop.is_set():
            with suppress(TimeoutError):
                _, run = await asyncio.wait_for(self._waiting.get(), POLL_SECONDS)
                if not stop.is_set():
                    yield run

    async def handled(self, run: UUID, handle: Callable[[UUID], Awaitable[None]]) -> None:
        """Handles a run that was offered. Where that fails, the run is put back in a while."""
        try:
            await handle(run)
        except Exception:
            logger.exception("run {} is put back, and tried again after those that wait", run)
            self._failures[run] += 1
            again = self._failures[run], run
            asyncio.get_running_loop().call_later(self._put_back_seconds, self._waiting.put_nowait, again)
        else:
            del self._failures[run]
