"""The bell: whoever listens hears of appends, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import nats as nats_client
import pytest
from nats.aio.client import Client

from adapters.bell import Bell
from adapters.embedded.nats_server import EmbeddedNats
from adapters.event_store import PostgresEventStore
from adapters.schema import upgrade
from tests import story
from tests.eventually import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as server:
        yield server


@pytest.fixture
def bell(server: EmbeddedNats) -> Iterator[Bell]:
    bell = Bell(server.url)
    yield bell
    bell.close()


@asynccontextmanager
async def listening(bell: Bell) -> AsyncIterator[list[str]]:
    """What is heard, from now on."""
    heard: list[str] = []
    stop = asyncio.Event()
    listener = asyncio.create_task(bell.listen(stop, heard.append))
    await _until_heard(bell, heard)
    try:
        yield heard
    finally:
        stop.set()
        await listener


async def _until_heard(bell: Bell, heard: list[str]) -> None:
    while not heard:
        bell.ring(["anything"])
        await asyncio.sleep(0.05)
    for last in ("last", "very_last"):  # a ring may tell of what was rung before, too, in any order
        bell.ring([last])
        await eventually(lambda last=last: last in heard)
    heard.clear()


async def test_a_ring_says_of_which_topics_there_is_news(bell: Bell):
    async with listening(bell) as heard:
        bell.ring(["workflow.requested", "preference.proposed"])
        await eventually(lambda: len(heard) == 2)
    assert sorted(heard) == ["preference.proposed", "workflow.requested"]


async def test_an_append_rings(bell: Bell, database: str):
    upgrade(database)
    store = PostgresEventStore(database, on_append=bell.ring)
    async with listening(bell) as heard:
        await asyncio.to_thread(store.session(story.ENVELOPE).save, story.stopped_run())
        await eventually(lambda: sorted(heard) == ["workflow.requested", "workflow.stopped"])
    store.close()


async def test_it_rings_again_after_nats_was_away(bell: Bell, server: EmbeddedNats):
    async with listening(bell) as heard:
        server.stop()
        bell.ring(["workflow"])
        server.start()
        await _until_heard(bell, heard)
        bell.ring(["dataset"])
        await eventually(lambda: heard == ["dataset"])


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[tuple[asyncio.AbstractEventLoop, Client]]:
    """All that have connected, each on its loop."""
    connected = []
    connect = nats_client.connect

    async def remembered(*arguments: Any, **options: Any) -> Client:
        client = await connect(*arguments, **options)
        connected.append((asyncio.get_running_loop(), client))
        return client

    monkeypatch.setattr(nats_client, "connect", remembered)
    return connected


async def test_it_rings_again_after_nats_py_gave_its_connections_up(
    bell: Bell, clients: list[tuple[asyncio.AbstractEventLoop, Client]]
):
    async with listening(bell) as heard:
        assert len(clients) == 2
        for loop, client in clients[:]:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(client.close(), loop))
        await eventually(lambda: len(clients) == 4)
        await _until_heard(bell, heard)


async def test_an_append_is_told_as_made_though_nobody_could_be_woken(database: str):
    def fail(_topics: Collection[str]) -> None:
        raise RuntimeError("can't start new thread")

    with closing(PostgresEventStore(database, on_append=fail)) as store:
        store.session(story.ENVELOPE).save(story.stopped_run())
        assert store.head() == 2


def test_without_nats_a_ring_costs_nothing_and_the_bell_can_be_closed(server: EmbeddedNats):
    server.stop()
    bell = Bell(server.url)
    bell.ring(["workflow"])
    bell.close()
    bell.ring(["workflow"])
    bell.close()
    assert bell._loop
    assert bell._loop.is_closed()
