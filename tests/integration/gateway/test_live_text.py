"""Token deltas through both forms of the stream, from a worker's voice to a viewer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from websockets.asyncio.client import connect

from adapters.embedded.nats_server import EmbeddedNats
from adapters.live_text import LiveText
from domain.access import Role
from domain.current_step import CurrentStep
from tests import story
from tests.integration.gateway.conftest import Gateway, opened
from tests.integration.gateway.serving import served

STEP = CurrentStep(story.RUN, "ada", "answer", 7)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as server:
        yield server


@pytest.fixture
def gateway(nats: EmbeddedNats, database: str, tmp_path: Path) -> Iterator[Gateway]:
    with opened(database, tmp_path, nats.url) as gateway:
        yield gateway


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway.app) as address:
        yield address


@pytest.fixture
async def live(nats: EmbeddedNats) -> AsyncIterator[LiveText]:
    live, stop = LiveText(nats.url), asyncio.Event()
    job = asyncio.create_task(live.run(stop))
    yield live
    stop.set()
    await job


def bearer(gateway: Gateway) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.tokens[Role.VIEWER]}"}


@asynccontextmanager
async def saying(live: LiveText, text: str) -> AsyncIterator[None]:
    """Somebody says that, and goes on until the end of the `with`."""
    with live.utterance(STEP) as said:
        said.add(text)
        yield


async def first(receive: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while not wanted(message := await receive()):
            pass
    return message


async def test_a_websocket_brings_deltas_without_a_position(gateway: Gateway, address: str, live: LiveText) -> None:
    gateway.tell(story.roster(), story.completed_run())
    url = f"ws://{address}/v1/stream?workflow={story.RUN}&deltas=true"
    async with saying(live, "Because"), connect(url, additional_headers=bearer(gateway)) as socket:
        frame = json.loads(await first(socket.recv, lambda text: "token_delta" in text))
    assert frame == {
        "type": "token_delta",
        "run": str(story.RUN),
        "step": str(STEP.id),
        "agent": "ada",
        "phase": "answer",
        "n": 7,
        "attempt": 1,
        "seq": 0,
        "text": "Because",
    }


async def test_server_sent_deltas_leave_the_last_event_id_as_it_was(
    gateway: Gateway, address: str, live: LiveText
) -> None:
    gateway.tell(story.roster(), story.completed_run())
    head = gateway.core.store.head()
    url = f"http://{address}/v1/stream?workflow={story.RUN}&deltas=true&after={head - 1}"
    async with (
        saying(live, "Because"),
        httpx.AsyncClient(headers=bearer(gateway)) as client,
        aconnect_sse(client, "GET", url) as source,
    ):
        events = source.aiter_sse()

        async def receive() -> Any:
            return await anext(events)

        assert (await receive()).id == str(head)
        delta = await first(receive, lambda event: event.event == "token_delta")
    assert delta.json()["text"] == "Because"
    assert delta.id == str(head)  # the last one that was given: what a browser comes back with


async def test_deltas_are_told_of_one_run_that_must_be_named(gateway: Gateway, address: str) -> None:
    async with httpx.AsyncClient(headers=bearer(gateway)) as client:
        answer = await client.get(f"http://{address}/v1/stream?deltas=true")
    assert answer.status_code == 422
    assert "workflow=RUN" in answer.json()["detail"]
