"""Outliving a model endpoint's restart: what is worth another try is tried again for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import httpx
import openai
from loguru import logger

from adapters.backoff import Backoff
from adapters.known_secrets import Hide
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


class NoSuchRoute(ModelRefused):
    """The endpoint has no such route; its models and adapters have nothing to do with it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked: what people call it, seconds from its first failure to giving up, and what keeps secrets
    out of what it says."""

    name: str
    patience: float = PATIENCE_SECONDS
    hide: Hide = str

    def told_of(self, error: Exception) -> str:
        """What is amiss, as it may be told and kept."""
        return self.hide(f"{type(error).__name__}: {error}")[:_TEXT_SHOWN]


async def persistently(call: Callable[[], Awaitable[T]], endpoint: Endpoint, adapter: str | None = None) -> T:
    """What the call returns, once it does. `adapter`: what is asked for may be about to be loaded, and is given half a
    minute of the endpoint's patience for that.

    Raises ModelRefused at once where another try is pointless (InputRefused where another input would help, and
    NoSuchRoute), and ModelUnavailable when patience is used up.
    """
    patience = endpoint.patience
    backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
    gives_up: dict[bool, float] = {}  # by whether it is the adapter that is missing: one says nothing of the other
    while True:
        try:
            return await call()
        except Exception as error:
            said = endpoint.told_of(error)
            refused = _refusal(error)(f"{endpoint.name} refused: {said}")
            loading = adapter is not None and _is_missing(error) and not isinstance(refused, NoSuchRoute)
            if not (loading or _may_pass(error)):
                raise refused from error
            delay = backoff.next_delay()
            allowed = min(patience, LOADING_SECONDS) if loading else patience
            if time.monotonic() + delay > gives_up.setdefault(loading, time.monotonic() + allowed):
                if loading:
                    raise refused from error
                raise ModelUnavailable(
                    f"{endpoint.name} did not answer for {patience:.0f} s: {said}; is it up?"
                ) from error
            logger.warning("{}: {}; trying again in {:.1f} s", endpoint.name, said, delay)
        await asyncio.sleep(delay)


def _is_missing(error: Exception) -> bool:
    return getattr(error, "status_code", None) == HTTPStatus.NOT_FOUND


def _lacks_the_route(error: Exception) -> bool:
    """Who lacks a model names it; of a route that is not there, frameworks, and so vLLM, say the status's words."""
    body = error.body if isinstance(error, openai.NotFoundError) else None
    said = (body.get("message") or body.get("detail")) if isinstance(body, Mapping) else None
    return said == HTTPStatus.NOT_FOUND.phrase


def _may_pass(error: Exception) -> bool:
    """SDKs of all platforms carry the HTTP status under the same name as OpenAI's."""
    if isinstance(error, openai.APIConnectionError | httpx.TransportError | ConnectionError | TimeoutError):
        return True
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and (status in _WORTH_ANOTHER_TRY or status >= 500)


def _refusal(error: Exception) -> type[ModelRefused]:
    """Our own model server calls it a bad request, too, where it is the adapter that it refuses."""
    if _lacks_the_route(error):
        return NoSuchRoute
    about_the_input = getattr(error, "status_code", None) in _ABOUT_THE_INPUT
    return InputRefused if about_the_input and getattr(error, "code", None) != AdapterRefused.code else ModelRefused
