"""Outliving a model endpoint's restart: what is worth another try is tried again for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import httpx
import openai
from loguru import logger

from adapters.backoff import Backoff
from adapters.model_server.errors import AdapterRefused
from domain.ports.agents import InputRefused, ModelRefused, ModelUnavailable

T = TypeVar("T")

PATIENCE_SECONDS = 180.0
"""A model server that restarts on a busy machine needs a minute, most of it for its libraries."""

LOADING_SECONDS = 30.0
"""An adapter that was registered just now, or whose server was restarted, is not known there yet."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
_WORTH_ANOTHER_TRY = {408, 409, 425, 429}
_ABOUT_THE_INPUT = {400, 413, 422}
_TEXT_SHOWN = 500


async def persistently(
    call: Callable[[], Awaitable[T]], endpoint: str, patience: float = PATIENCE_SECONDS, adapter: str | None = None
) -> T:
    """What the call returns, once it does. `patience`: seconds from its first failure to giving up. `adapter`: what is
    asked for may be about to be loaded, and is given half a minute of that.

    Raises ModelRefused at once where another try is pointless (InputRefused where another input would help), and
    ModelUnavailable when patience is used up.
    """
    backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
    gives_up: dict[bool, float] = {}  # by whether it is the adapter that is missing: one says nothing of the other
    while True:
        try:
            return await call()
        except Exception as error:
            loading = adapter is not None and getattr(error, "status_code", None) == HTTPStatus.NOT_FOUND
            refused = _refusal(error)(f"{endpoint} refused: {_words(error)}")
            if not (loading or _may_pass(error)):
                raise refused from error
            delay = backoff.next_delay()
            allowed = min(patience, LOADING_SECONDS) if loading else patience
            if time.monotonic() + delay > gives_up.setdefault(loading, time.monotonic() + allowed):
                if loading:
                    raise refused from error
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


def _refusal(error: Exception) -> type[ModelRefused]:
    """Our own model server calls it a bad request, too, where it is the adapter that it refuses."""
    about_the_input = getattr(error, "status_code", None) in _ABOUT_THE_INPUT
    return InputRefused if about_the_input and getattr(error, "code", None) != AdapterRefused.code else ModelRefused


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_TEXT_SHOWN]
