"""The relay: from the store into the stream, against publishing the same messages when they are at hand already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
import psycopg
from sqlalchemy import Engine

from adapters.embedded.nats_server import EmbeddedNats
from adapters.event_feed import EventFeed
from adapters.nats import STREAM, SUBJECTS, declare_stream
from adapters.relay import Relay, encoded, published
from gateway.bootstrap import open_engine
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import fill_ours

EVENTS = 20_000
IN_FLIGHT = 500


def run(database: str) -> Iterator[Result]:
    """Every event of the store, acknowledged by the stream."""
    fill_ours(database, EVENTS)
    engine = open_engine(database)
    with _server() as url:

        def ours() -> Timing:
            asyncio.run(_forget(url))
            with psycopg.connect(database) as db:
                db.execute("DELETE FROM relay")
            return asyncio.run(_relay(engine, database, url))

        messages = [encoded(event) for event in EventFeed(engine).page(limit=EVENTS)]
        yield measured(
            "relay",
            {"events": EVENTS},
            "events/s",
            ours,
            lambda: asyncio.run(_publish(url, messages)),
            "publishing alone",
        )
    engine.dispose()


async def _relay(engine: Engine, database: str, url: str) -> Timing:
    stop = asyncio.Event()
    began = time.perf_counter()
    relaying = asyncio.create_task(Relay(database, url).run(stop))
    while await asyncio.to_thread(published, engine) < EVENTS:  # noqa: ASYNC110 - it is another process' table
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    stop.set()
    await relaying
    return Timing(EVENTS / seconds)


async def _publish(url: str, messages: Sequence[bytes]) -> Timing:
    await _forget(url)
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await declare_stream(jetstream)
    began = time.perf_counter()
    for start in range(0, len(messages), IN_FLIGHT):
        together = messages[start : start + IN_FLIGHT]
        pending = [await jetstream.publish_async(f"{SUBJECTS}.bench", message) for message in together]
        await asyncio.gather(*pending)
    seconds = time.perf_counter() - began
    await client.close()
    return Timing(len(messages) / seconds)


async def _forget(url: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await declare_stream(jetstream)
    await jetstream.delete_stream(STREAM)
    await client.close()


@contextmanager
def _server() -> Iterator[str]:
    with TemporaryDirectory() as folder, EmbeddedNats(Path(folder) / "nats", Path(folder) / "nats.log") as server:
        yield server.url
