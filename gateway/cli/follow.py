"""Waiting and following, for commands that stay until something happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from httpx_sse import EventSource

from gateway.cli.client import Api, ApiError, Json, Unavailable

T = TypeVar("T")

POLL_SECONDS = 1.0


def patiently(look: Callable[[], T | None], seconds: float | None = None, what: str = "it") -> T:
    """Looks once a second until there is something. Raises ApiError after `seconds`, if given."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while (found := look()) is None:
        if deadline and time.monotonic() > deadline:
            raise ApiError(f"waited {seconds:.0f} s for {what} in vain; `caravan status` tells what runs")
        time.sleep(POLL_SECONDS)
    return found


def insistently(ask: Callable[[], T]) -> T:
    """Asks until the gateway answers, however long it is away."""
    while True:
        try:
            return ask()
        except Unavailable:
            time.sleep(POLL_SECONDS)


def events(api: Api, after: int, **query: object) -> Iterator[Json]:
    """Events from a position on, for ever: through lost connections and outages, each exactly once. With `deltas` what
    is said as well, which has no position and may be lost."""
    while True:
        try:
            for event in _stream(api, after, query):
                after = event.get("position", after)
                yield event
        except (httpx.TransportError, Unavailable):
            time.sleep(POLL_SECONDS)


def _stream(api: Api, after: int, query: dict[str, Any]) -> Iterator[Json]:
    with api.stream("/v1/stream", after=after, **query) as response:
        for message in EventSource(response).iter_sse():
            if message.event == "ended":
                time.sleep(POLL_SECONDS)
                return
            if message.data:  # a heartbeat has none
                yield message.json()


def growing_log(api: Api, path: str, elsewhere: Callable[[str], None], over: Callable[[str], None]) -> Iterator[str]:
    """The end of a log, and what is added until it is whole: through lost connections and outages, each piece once.
    Where it is not to be had, `elsewhere` hears why, once. `over` hears the state in which it ended."""
    heard_to: str | None = None
    told = False
    while True:
        try:
            with api.stream(path, from_byte=heard_to) as response:
                for message in EventSource(response).iter_sse():
                    match message.event:
                        case "log":
                            heard_to = message.id
                            yield message.json()["text"]
                        case "elsewhere" if not told:
                            told = True
                            elsewhere(message.json()["detail"])
                        case "over":
                            over(message.json()["state"])
                            return
        except (httpx.TransportError, Unavailable):
            pass
        time.sleep(POLL_SECONDS)
