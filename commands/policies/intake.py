"""The runs that wait for this process, each of them once, whoever found it: news, the sweep, or a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from loguru import logger

POLL_SECONDS = 0.5


class Intake:
    """A queue of runs. All but the constructor is to be called on the event loop."""

    def __init__(self, put_back_seconds: float) -> None:
        self._put_back_seconds = put_back_seconds
        self._waiting: asyncio.Queue[UUID] = asyncio.Queue()
        self._known: set[UUID] = set()

    def offer(self, run: UUID) -> None:
        """A run that waits, or is being handled, is known already and ignored."""
        if run not in self._known:
            self._known.add(run)
            self._waiting.put_nowait(run)

    async def offered(self, stop: asyncio.Event) -> AsyncIterator[UUID]:
        """Each run in its turn, until `stop` is set. Hand it to `handled` then."""
        while not stop.is_set():
            with suppress(TimeoutError):
                yield await asyncio.wait_for(self._waiting.get(), POLL_SECONDS)

    async def handled(self, run: UUID, handle: Callable[[UUID], Awaitable[None]]) -> None:
        """Handles a run that was offered. One that cannot be handled now is put back behind those that wait."""
        try:
            await handle(run)
        except Exception:
            logger.exception("run {} is put back, and tried again after those that wait", run)
            await asyncio.sleep(self._put_back_seconds)
            self._waiting.put_nowait(run)
        else:
            self._known.discard(run)
