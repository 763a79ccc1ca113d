"""Outliving an outage of the store: what is worth another try is tried again, for some minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from loguru import logger

from domain.ports.events import ConcurrentWrite

T = TypeVar("T")

DELAYS = (0.5, 1, 2, 4, 8, *[15] * 20)
"""Seconds between tries; five minutes in all, so that a database can restart and recover."""
LISTEN_SECONDS = 0.2


class StoreUnavailable(Exception):
    """The store was away for longer than anybody would wait, or we are told to stop meanwhile. Says nothing about the
    work that needed it: that is to be taken up again later."""


class Patience:
    """Repeats what an outage of the store broke. `outages` are the exceptions that tell of one; being outrun by other
    writers passes as well. `stopping` is asked while waiting, from any thread."""

    def __init__(
        self, outages: tuple[type[Exception], ...], stopping: Callable[[], bool], delays: Sequence[float] = DELAYS
    ) -> None:
        self._worth_another_try: tuple[type[Exception], ...] = (*outages, ConcurrentWrite)
        self._stopping = stopping
        self._delays = delays

    def __call__(self, action: Callable[[], T]) -> T:
        """What the action returns. It must be harmless to repeat. Blocks.

        Raises StoreUnavailable, and at once whatever is no outage: it would be raised again.
        """
        for delay in (*self._delays, None):
            try:
                return action()
            except self._worth_another_try as error:
                if delay is None or self._stopping():
                    raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
                logger.warning("{}: {}; trying again in {} s", type(error).__name__, error, delay)
                self._wait(delay)
        raise AssertionError("unreachable: the last try returns or raises")

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopping():
            time.sleep(min(left, LISTEN_SECONDS))
