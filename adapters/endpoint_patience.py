"""Outliving a model endpoint's restart: what is worth another try is tried again for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import openai
from loguru import logger

from adapters.backoff import Backoff
from domain.ports import ModelUnavailable

T = TypeVar("T")

PATIENCE_SECONDS = 180.0
"""A model server that restarts on a busy machine needs a minute, most of it for its libraries."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
_WORTH_ANOTHER_TRY = {408, 409, 425, 429}
_TEXT_SHOWN = 500


class ModelRefused(ModelUnavailable):
    """The endpoint understood the request and will not serve it; the same request will be refused again."""


async def persistently(call: Callable[[], Awaitable[T]], endpoint: str, patience: float = PATIENCE_SECONDS) -> T:
    """What the call returns, once it does. `patience`: seconds from its first failure to giving up.

    Raises ModelRefused at once where another try is pointless, and ModelUnavailable when patience is used up.
    """
    backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
    gives_up = None
    while True:
        try:
            return await call()
        except Exception as error:
            if not _may_pass(error):
                raise ModelRefused(f"{endpoint} refused: {_words(error)}") from error
            delay = backoff.next_delay()
            gives_up = gives_up or time.monotonic() + patience
            if time.monotonic() + delay > gives_up:
                raise ModelUnavailable(
                    f"{endpoint} did not answer for {patience:.0f} s: {_words(error)}; is it up?"
                ) from error
            logger.warning("{}: {}; trying again in {:.1f} s", endpoint, _words(error), delay)
        await asyncio.sleep(delay)


def _may_pass(error: Exception) -> bool:
    """SDKs of all platforms carry the HTTP status under the same name as OpenAI's."""
    if isinstance(error, openai.APIConnectionError | httpx.TransportError | ConnectionError | TimeoutError):
        return True
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and (status in _WORTH_ANOTHER_TRY or status >= 500)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_TEXT_SHOWN]
