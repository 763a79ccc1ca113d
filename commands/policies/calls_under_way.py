"""The model calls of one run that are under way, and how they come to an end together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from commands.policies.patience import StoreUnavailable
from domain.errors import AlreadyDone, LeaseLost
from domain.workflow import RunPaused

T = TypeVar("T")


class LetGo(Exception):
    """The worker must stop: it begins nothing more, and another one goes on."""


class _Ended(Exception):
    """No call is begun any more."""


CALLS_AT_ONCE = 8
"""Of one run. What a pause, a worker that stops or a used-up budget still lets end is no more than that."""


class CallsUnderWay:
    """So many `at_once`; the others wait for their turn. Once one of the calls tells that the run cannot go on, no
    other begins. Those under way are paid for: so whoever was told that, or would have begun another, hears it when the
    last one has ended."""

    def __init__(self, at_once: int = CALLS_AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._calls: set[asyncio.Future[Any]] = set()
        self._reason: Exception | None = None
        self._given_up = False

    def end(self, reason: Exception) -> None:
        """No other call begins. The first reason counts."""
        self._reason = self._reason or reason

    def give_up(self, reason: Exception) -> None:
        """Nobody wants what the calls under way would return."""
        self.end(reason)
        self._given_up = True
        for call in self._calls:
            call.cancel()

    async def make(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call returns. Raises what it raises, once all have ended; at once where the run is not ours any
        more, so that nothing could be recorded."""
        async with self._room:
            if self._reason is None:
                with suppress(_Ended):
                    return await self._made(call)
        while self._calls:
            await asyncio.wait(self._calls)
        raise self._reason or AssertionError("unreachable: without a reason the call has returned or raised")

    async def _made(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call returns. Raises _Ended where there is a reason now, which is for make to raise."""
        under_way = asyncio.ensure_future(call())
        self._calls.add(under_way)
        try:
            return await under_way
        except (LeaseLost, StoreUnavailable):
            raise
        except AlreadyDone as reason:
            if not isinstance(reason, RunPaused):
                raise
            self.end(reason)
        except Exception as reason:
            self.end(reason)
        except asyncio.CancelledError:
            if not self._given_up:
                raise
        finally:
            self._calls.discard(under_way)
        raise _Ended
