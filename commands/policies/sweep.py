"""Looks, every few seconds, for work that nobody does, and offers it as the news would: NATS may have been wiped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from loguru import logger


class Sweep:
    """`find` is a question of the WorkQueue port, e.g. its `runs_without_worker`. `offer` is told of all that it finds,
    each time anew, so it must ignore what it has already; it is called on the event loop and must not block."""

    def __init__(
        self, find: Callable[[], Sequence[UUID]], offer: Callable[[UUID], None], every_seconds: float = 2.0
    ) -> None:
        self._find = find
        self._offer = offer
        self._every_seconds = every_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A store that cannot be reached is asked again at the next turn."""
        while not stop.is_set():
            try:
                for id in await asyncio.to_thread(self._find):
                    self._offer(id)
            except Exception:
                logger.exception("could not look for work that nobody does; looking again in {} s", self._every_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every_seconds)
