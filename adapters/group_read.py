"""Reads that the tasks of an event loop ask for are made together, by one thread in one go.

Whoever asks while a read is under way is in the next one: what anybody is told was read after they asked. The next one
begins when that one ended, or has taken so long that it hangs: a dead connection holds up those alone who wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

HANGS_SECONDS = 1.0
MOST_READS = 4
"""At once, all but one of which hang. In threads of their own: what else needs threads may be waiting for us."""


class GroupRead(Generic[K, V]):
    """`read` says what there is under some keys. For one event loop at a time."""

    def __init__(self, read: Callable[[Collection[K]], Mapping[K, V]]) -> None:
        self._read = read
        self._asked: dict[K, list[asyncio.Future[V | None]]] = {}
        self._groups: asyncio.Task[None] | None = None
        self._threads = CapacityLimiter(MOST_READS)

    async def get(self, key: K) -> V | None:
        """None where there is nothing. Raises what `read` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, []).append(answer)
        if self._groups is None or self._groups.done():
            self._groups = asyncio.create_task(self._read_groups())
        return await answer

    async def _read_groups(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            await asyncio.wait([asyncio.create_task(self._answer(asked))], timeout=HANGS_SECONDS)

    async def _answer(self, asked: Mapping[K, Collection[asyncio.Future[V | None]]]) -> None:
        def waiting() -> Iterator[tuple[K, asyncio.Future[V | None]]]:
            """But for those whose tasks were cancelled."""
            return ((key, answer) for key, answers in asked.items() for answer in answers if not answer.done())

        try:
            found = await to_thread.run_sync(self._read, list(asked), limiter=self._threads)
            for key, answer in waiting():
                answer.set_result(found.get(key))
        except Exception as error:
            for _, answer in waiting():
                answer.set_exception(error)
        finally:  # whatever happens, nobody waits for ever
            for _, answer in waiting():
                answer.cancel()
