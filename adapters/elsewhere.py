"""A framework that blocks, catches every exception and starts tasks of its own, held to our terms.

It works on an event loop of its own, in a thread of its own; what it asks for is done here, on ours.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Elsewhere:
    """The first thing that goes wrong here ends the work there: it is cancelled, which no `except Exception` holds up.
    `run` is for our loop; `wait` and `ask` are for the work."""

    def __init__(self) -> None:
        self._home = asyncio.get_running_loop()
        self._calls: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._there: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until the work is done, and its loop and thread are gone.

        Raises the first thing that a call raised, else what the work raised. Where it is cancelled, so is the work.
        """
        context = copy_context()
        with ThreadPoolExecutor(1, thread_name_prefix="elsewhere") as thread:  # not one of those that writes need
            done = self._home.run_in_executor(thread, lambda: context.run(self._in_thread, work))
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError as cancelled:
                self._end(cancelled)
                while not done.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([done])
            await asyncio.gather(*self._calls, return_exceptions=True)
        if self._failure:
            raise self._failure
        done.result()

    def wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns that is made on our loop. Blocks the loop of the work meanwhile."""
        try:
            return self._begin(call).result()
        except BaseException as error:
            raise self._over() from error

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns that is made on our loop."""
        try:
            return await asyncio.wrap_future(self._begin(call))
        except BaseException as error:
            raise self._over() from error

    def _over(self) -> asyncio.CancelledError:
        """Ends the whole work, whichever of its tasks has asked."""
        if self._work:
            self._work.cancel()
        return asyncio.CancelledError()

    def _begin(self, call: Callable[[], Awaitable[T]]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(self._call(call), self._home)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._failure:
            raise self._failure
        made = asyncio.ensure_future(call())
        self._calls.add(made)
        try:
            return await made
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._calls.discard(made)

    def _in_thread(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            self._there, self._work = asyncio.get_running_loop(), asyncio.current_task()
            await work()

        try:
            asyncio.run(whole())
        except asyncio.CancelledError as cancelled:
            if self._failure is None:
                raise RuntimeError("the work was cut off, and nobody knows why") from cancelled

    def _end(self, reason: BaseException) -> None:
        self._failure = self._failure or reason
        for call in self._calls:
            call.cancel()
        if self._there and self._work:
            with suppress(RuntimeError):  # it has ended by itself
                self._there.call_soon_threadsafe(self._work.cancel)
