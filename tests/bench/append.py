"""Appending: our recorder against the library's own, both into tables of their own on the same server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID, uuid4

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from adapters import schema
from adapters.event_recorder import EnvelopeRecorder, open_factory
from tests.bench.library import environment
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import envelope

CASES = ((1, 1), (8, 1), (32, 1), (128, 1), (1, 100))
"""Writers at once, and events of each save."""
SECONDS = 3.0
STATE = b'{"step": "' + b"x" * 388 + b'"}'
"""400 bytes, as a short step has them."""


def run(our_database: str, peer_database: str) -> Iterator[Result]:
    """A result for each case, for tasks and for threads."""
    schema.upgrade(our_database)
    factory, library = open_factory(our_database), InfrastructureFactory.construct(environment(peer_database))
    with closing(factory), closing(library):
        ours, peer = factory.application_recorder(), library.application_recorder()
        assert isinstance(ours, EnvelopeRecorder)
        assert isinstance(peer, PostgresApplicationRecorder)
        with closing(ours):
            for writers, batch in CASES:
                for callers in ("tasks", "threads"):
                    yield _compared(ours, peer, writers, batch, callers)


def _compared(
    ours: EnvelopeRecorder, peer: PostgresApplicationRecorder, writers: int, batch: int, callers: str
) -> Result:
    def measure_ours() -> Timing:
        if callers == "tasks":
            return asyncio.run(_by_tasks(ours, writers, batch))
        return _by_threads(lambda events: ours.insert_events(events, envelope=envelope()), writers, batch)

    def measure_peer() -> Timing:
        return _by_threads(peer.insert_events, writers, batch)

    parameters = {"writers": writers, "batch": batch, "callers": callers}
    return measured("append", parameters, "events/s", measure_ours, measure_peer, "eventsourcing")


async def _by_tasks(recorder: EnvelopeRecorder, writers: int, batch: int) -> Timing:
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    async def write() -> int:
        stream, version = uuid4(), 0
        while (began := time.perf_counter()) < end:
            await recorder.insert_events_async(step_events(stream, version, batch), envelope=envelope())
            waits.append(1000 * (time.perf_counter() - began))
            version += batch
        return version

    began = time.perf_counter()
    written = sum(await asyncio.gather(*(write() for _ in range(writers))))
    return Timing(written / (time.perf_counter() - began), waits)


def _by_threads(insert: Callable[[list[StoredEvent]], object], writers: int, batch: int) -> Timing:
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    def write() -> int:
        stream, version = uuid4(), 0
        while (began := time.perf_counter()) < end:
            insert(step_events(stream, version, batch))
            waits.append(1000 * (time.perf_counter() - began))
            version += batch
        return version

    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as threads:
        written = sum(future.result() for future in [threads.submit(write) for _ in range(writers)])
    return Timing(written / (time.perf_counter() - began), waits)


def step_events(stream: UUID, after: int, count: int) -> list[StoredEvent]:
    return [StoredEvent(stream, after + n, "workflow.step_recorded", STATE) for n in range(1, count + 1)]
