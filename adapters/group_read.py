"""Reads that the tasks of an event loop ask for are made together, by one thread in one go.

Whoever asks while a read is under way is in the next one: what anybody is told was read after they asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from copy import copy
from typing import Generic, TypeVar

from anyio import to_thread

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class GroupRead(Generic[K, V]):
    """`read` says what there is under some keys. For one event loop at a time."""

    def __init__(self, read: Callable[[Collection[K]], Mapping[K, V]]) -> None:
        self._read = read
        self._asked: dict[K, list[asyncio.Future[V | None]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """None where there is nothing. Raises what `read` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, []).append(answer)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            found: Mapping[K, V] | Exception
            try:
                found = await to_thread.run_sync(self._read, list(asked))
            except Exception as error:
                found = error
            for key, answers in asked.items():
                for answer in answers:
                    if answer.done():  # its task was cancelled
                        continue
                    if isinstance(found, Exception):
                        answer.set_exception(copy(found))
                    else:
                        answer.set_result(found.get(key))
