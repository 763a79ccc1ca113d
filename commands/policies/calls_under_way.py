"""The model calls of one run that are under way, and how they come to an end together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from commands.policies.patience import StoreUnavailable
from domain.errors import AlreadyDone, LeaseLost
from domain.workflow import RunPaused

T = TypeVar("T")


class LetGo(Exception):
    """The worker must stop: it begins nothing more, and another one goes on."""


class CallsUnderWay:
    """Once one of the calls tells that the run cannot go on, no other begins. Those under way are paid for: so whoever
    was told that, or would have begun another, hears it when the last one has ended."""

    def __init__(self) -> None:
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
        if self._reason is None:
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
        while self._calls:
            await asyncio.wait(self._calls)
        raise self._reason or AssertionError("unreachable: without a reason the call has returned or raised")
