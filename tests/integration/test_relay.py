"""The relay and the news desk on a real Postgres and a real NATS: every event once, whoever dies or forgets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import nats as nats_client
import pytest
from nats.js import JetStreamContext
from sqlalchemy import create_engine

from adapters import relay
from adapters.embedded.nats_server import EmbeddedNats
from adapters.event_store import PostgresEventStore
from adapters.nats import News, NewsDesk
from adapters.relay import Relay, published
from domain.steps import Task
from domain.workflow import Workflow
from tests import story
from tests.integration.processes import kill_9


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database)
    yield store
    store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as server:
        yield server


class Subscriber:
    """Remembers what it heard, and can fail a few times first."""

    def __init__(self, failures: int = 0) -> None:
        self.heard: list[News] = []
        self.failures = failures

    async def __call__(self, news: Sequence[News]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        self.heard += news

    @property
    def positions(self) -> list[int]:
        return [news.position for news in self.heard]


@asynccontextmanager
async def running(*parts: Relay | NewsDesk) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part.run(stop))
        try:
            yield stop
        finally:
            stop.set()


def desk_for(url: str, subscriber: Subscriber, subjects: Sequence[str] = ("events.>",), name: str = "test") -> NewsDesk:
    desk = NewsDesk(url)
    desk.subscribe(name, subjects, subscriber)
    return desk


async def eventually(condition: Callable[[], object], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {within} s"
        await asyncio.sleep(0.05)


def tell(store: PostgresEventStore) -> int:
    for aggregate in story.everything():
        store.session(story.ENVELOPE).save(aggregate)
    return store.head()


def request_run(store: PostgresEventStore, name: str, turn: str = "Hello?") -> int:
    """One more event. Returns its position."""
    run = Workflow.request(story.id_of(name), "mutual_ranking", Task((turn,)), 1, (), "", None, at=story.at(0))
    return store.session(story.ENVELOPE).save(run).position


def told(database: str) -> int:
    """How far the relay has come."""
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    position = published(engine)
    engine.dispose()
    return position


async def published_events(url: str) -> list[dict[str, Any]]:
    """What is in the stream."""
    client = await nats_client.connect(url)
    stream = client.jetstream()
    state = (await stream.stream_info("EVENTS")).state
    messages = [await stream.get_msg("EVENTS", n) for n in range(state.first_seq, state.last_seq + 1)]
    await client.close()
    return [json.loads(message.data or b"") for message in messages]


async def test_every_event_is_told_once_and_in_order(database: str, server: EmbeddedNats, store: PostgresEventStore):
    head = tell(store)
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        await eventually(lambda: len(subscriber.heard) == head)
        last = request_run(store, "one more")
        await eventually(lambda: last in subscriber.positions)
    assert subscriber.positions == list(range(1, head + 2))
    events = list(store.read())
    assert [news.event_id for news in subscriber.heard] == [recorded.event_id for recorded in events]
    assert [news.type for news in subscriber.heard] == [recorded.type for recorded in events]
    assert told(database) == head + 1


async def test_an_event_is_told_as_a_cloud_event(database: str, server: EmbeddedNats, store: PostgresEventStore):
    envelope = replace(
        story.ENVELOPE,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        project="atlas",
        data_subjects=("ben", "cyd"),
    )
    store.session(envelope).save(story.stopped_run())
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        await eventually(lambda: len(subscriber.heard) == 2)
        first, second = await published_events(server.url)
    assert first["specversion"] == "1.0"
    assert (first["type"], first["subject"]) == ("workflow.requested", str(story.id_of("stopped run")))
    assert (first["position"], first["actor"], first["schemaversion"]) == (1, "ada", 3)
    assert first["correlationid"] == str(envelope.correlation_id)
    assert (first["source"], first["project"], first["datasubjects"]) == ("/caravan/atlas", "atlas", "ben,cyd")
    assert second["data"] == {"timestamp": story.at(12).isoformat().replace("+00:00", "Z"), "reason": "changed my mind"}
    assert subscriber.heard[1].traceparent == envelope.traceparent


async def test_a_subscriber_hears_only_its_subjects(database: str, server: EmbeddedNats, store: PostgresEventStore):
    tell(store)
    subscriber, everything = Subscriber(), Subscriber()
    desk = desk_for(server.url, subscriber, ["events.dataset.>", "events.workflow.failed"])
    desk.subscribe("everything", ["events.>"], everything)
    async with running(Relay(database, server.url), desk):
        await eventually(lambda: len(everything.heard) == store.head() and len(subscriber.heard) == 3)
    assert {news.type for news in subscriber.heard} == {"dataset.requested", "dataset.built", "workflow.failed"}


async def test_news_that_a_subscriber_could_not_take_comes_again(
    database: str, server: EmbeddedNats, store: PostgresEventStore
):
    request_run(store, "a run")
    subscriber = Subscriber(failures=2)
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        await eventually(lambda: subscriber.positions == [1])
    assert subscriber.failures == 0


async def test_what_nobody_of_ours_published_is_passed_over(
    database: str, server: EmbeddedNats, store: PostgresEventStore
):
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        position = request_run(store, "a run")
        await eventually(lambda: subscriber.positions == [position])
        client = await nats_client.connect(server.url)
        for stray in (b"", b"[]", b'{"type": "workflow.requested"}', b"\xff"):
            await client.jetstream().publish("events.workflow.requested", stray)
        await client.close()
        position = request_run(store, "another")
        await eventually(lambda: position in subscriber.positions)
    assert len(subscriber.heard) == 2


async def test_a_large_event_is_told_by_reference(database: str, server: EmbeddedNats, store: PostgresEventStore):
    position = request_run(store, "large", turn="x" * 2_000_000)
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        await eventually(lambda: subscriber.positions == [position])
        (event,) = await published_events(server.url)
    assert event["dataref"] == f"/v1/events?from={position - 1}&to={position}"
    assert "data" not in event


@pytest.mark.parametrize("wiped", [False, True], ids=["restarted", "wiped"])
async def test_after_nats_was_away_news_goes_on(
    wiped: bool, database: str, server: EmbeddedNats, store: PostgresEventStore
):
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        first = request_run(store, "before")
        await eventually(lambda: first in subscriber.positions)
        await asyncio.to_thread(server.stop)
        during = request_run(store, "while it is away")
        if wiped:
            shutil.rmtree(server.folder / "jetstream")
        await asyncio.to_thread(server.start)
        await eventually(lambda: during in subscriber.positions)
        after = request_run(store, "after")
        await eventually(lambda: after in subscriber.positions)


@contextmanager
def stopped(server: EmbeddedNats) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def hanging(server: EmbeddedNats) -> Iterator[None]:
    assert server.pid
    os.kill(server.pid, SIGSTOP)
    yield
    os.kill(server.pid, SIGCONT)


@pytest.mark.parametrize("away", [stopped, hanging])
async def test_a_nats_that_is_away_for_longer_than_the_relay_waits_keeps_its_news(
    away: Callable[[EmbeddedNats], AbstractContextManager[None]],
    database: str,
    server: EmbeddedNats,
    store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(relay, "ACK_SECONDS", 0.2)
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        first = request_run(store, "before")
        await eventually(lambda: first in subscriber.positions)
        with away(server):
            during = request_run(store, "while it is away")
            await asyncio.sleep(1.5)
        await eventually(lambda: during in subscriber.positions)
        assert [event["position"] for event in await published_events(server.url)] == [first, during]


async def test_a_stream_that_acknowledges_nothing_is_made_anew(
    database: str, server: EmbeddedNats, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay, "ACK_SECONDS", 0.2)
    client = await nats_client.connect(server.url)
    jetstream = client.jetstream()
    async with running(Relay(database, server.url)):
        first = request_run(store, "before")
        await eventually(lambda: told(database) == first)
        await jetstream.delete_stream("EVENTS")
        stuck = await jetstream.add_stream(name="EVENTS", subjects=["events.>"], no_ack=True)
        after = request_run(store, "after")
        await eventually(lambda: told(database) == after)
        assert (await jetstream.stream_info("EVENTS")).created != stuck.created
    await client.close()


async def test_a_stream_that_is_too_slow_for_a_whole_batch_is_told_of_it_bit_by_bit(
    database: str, server: EmbeddedNats, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay, "ACK_SECONDS", 0.2)
    publish, batch = JetStreamContext.publish_async, list[int]()

    async def publish_slowly(
        stream: JetStreamContext, subject: str, payload: bytes, **options: Any
    ) -> asyncio.Future[Any]:
        """Only the first three acknowledgements of a batch come in time."""
        position = json.loads(payload)["position"]
        if batch and position <= batch[-1]:
            batch.clear()
        batch.append(position)
        published = await publish(stream, subject, payload, **options)
        return published if len(batch) <= 3 else asyncio.get_running_loop().create_future()

    monkeypatch.setattr(JetStreamContext, "publish_async", publish_slowly)
    head = [request_run(store, f"run {n}") for n in range(10)][-1]
    async with running(Relay(database, server.url)):
        await eventually(lambda: told(database) == head)
        assert [event["position"] for event in await published_events(server.url)] == list(range(1, head + 1))


async def test_a_stream_deleted_under_everybody_is_made_again(
    database: str, server: EmbeddedNats, store: PostgresEventStore
):
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        first = request_run(store, "before")
        await eventually(lambda: first in subscriber.positions)
        client = await nats_client.connect(server.url)
        await client.jetstream().delete_stream("EVENTS")
        await client.close()
        after = request_run(store, "after")
        await eventually(lambda: after in subscriber.positions)


async def test_relay_and_desk_wait_for_a_nats_that_comes_later(
    database: str, tmp_path: Path, store: PostgresEventStore
):
    server = EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log")
    server.start()
    server.stop()
    position = request_run(store, "early")
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)
        await eventually(lambda: subscriber.positions == [position])
    server.stop()


async def test_a_second_relay_takes_over_when_the_first_is_killed(
    database: str, server: EmbeddedNats, store: PostgresEventStore
):
    subscriber = Subscriber()
    arguments = [sys.executable, "-m", "tests.integration.relay_process", database, server.url]
    with subprocess.Popen(arguments) as leader:  # noqa: ASYNC220 - starting it takes no time
        async with running(desk_for(server.url, subscriber)):
            first = request_run(store, "told by the first")
            await eventually(lambda: first in subscriber.positions)
            async with running(Relay(database, server.url)):
                second = request_run(store, "still by the first")
                await eventually(lambda: second in subscriber.positions)
                await asyncio.sleep(1)
                kill_9(leader.pid)
                third = request_run(store, "by the second")
                await eventually(lambda: third in subscriber.positions)
    assert subscriber.positions == [first, second, third]


async def test_a_relay_that_loses_postgres_goes_on_when_it_is_back(
    database: str, server: EmbeddedNats, store: PostgresEventStore
):
    subscriber = Subscriber()
    async with running(Relay(database, server.url), desk_for(server.url, subscriber)):
        first = request_run(store, "before")
        await eventually(lambda: first in subscriber.positions)
        with store.recorder.datastore.get_connection() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        after = request_run(store, "after")
        await eventually(lambda: after in subscriber.positions)
    assert subscriber.positions == [first, after]
