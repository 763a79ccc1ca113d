"""From when a step's append is due to its row in the interaction log, with all read models kept by a process of
their own, as in production. PostgreSQL remembers when the row was committed, so that nobody has to look meanwhile; the
command around the append is measured by append_http. There is no peer: the library's ProjectionRunner does not reach
these rates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psycopg
from uuid_utils.compat import uuid7

from adapters import schema
from adapters.bell import Bell
from adapters.embedded.nats_server import EmbeddedNats
from adapters.event_json import PlainJsonMapper
from adapters.event_store import PostgresEventStore
from domain.steps import Step, Task, step_id
from domain.workflow import Workflow
from gateway.bootstrap import open_core, open_engine
from gateway.projectors import run_projectors
from gateway.running import collect_rarely
from gateway.settings import Settings
from projections import ALL
from projections.status import wait_for
from tests.bench.results import Result, Timing, measured
from tests.bench.server import server
from tests.bench.step_events import CALL, envelope

RATES = (100, 500, 1_000)
"""Events a second."""
RUNS = 20
SECONDS = 5.0
PATIENCE_SECONDS = 60.0


def run() -> Iterator[Result]:
    """One result a rate; `ours` is the median of the rounds' medians, in ms."""
    with ExitStack() as stack:
        database = stack.enter_context(server(track_commit_timestamp="on"))()
        schema.upgrade(database)
        bell = stack.enter_context(closing(Bell(stack.enter_context(_projectors(database)))))
        store = stack.enter_context(closing(PostgresEventStore(database, on_append=bell.ring)))
        for rate in RATES:
            yield measured("visible_latency", {"rate": rate}, "ms", partial(_timing, store, database, rate))


def _timing(store: PostgresEventStore, database: str, rate: int) -> Timing:
    sent = asyncio.run(_append_at(store, database, rate))
    seen = _seen(database, sent)
    waits = [1000 * (seen[position] - began) for position, began in sent.items()]
    return Timing(median(waits), waits)


async def _append_at(store: PostgresEventStore, database: str, rate: int) -> dict[int, float]:
    """When the append of each position was due. It is begun then, whether the ones before it are done or not."""
    mapper, sent = PlainJsonMapper(), dict[int, float]()
    runs = [await asyncio.to_thread(_started, store) for _ in range(RUNS)]
    locks = [asyncio.Lock() for _ in runs]

    async def append(number: int, began: float) -> None:
        run = runs[number % RUNS]
        async with locks[number % RUNS]:
            n = run.version
            run.record_step(1, Step(step_id(run.id, "ada", "answer", n), "ada", "answer", n, CALL), datetime.now(UTC))
            events = [mapper.to_stored_event(event) for event in run.collect_events()]
            (position,) = await store.recorder.insert_events_async(events, envelope=envelope())
        sent[position] = began

    await asyncio.to_thread(_settled, database, store.head())
    start = time.time()
    appends = []
    for number in range(int(rate * SECONDS)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.time()))
        appends.append(asyncio.create_task(append(number, due)))
    await asyncio.gather(*appends)
    return sent


def _settled(database: str, position: int) -> None:
    """Returns once all read models have come so far."""
    engine = open_engine(database)
    if not wait_for(engine, [projector.name for projector in ALL], position, PATIENCE_SECONDS):
        raise TimeoutError(f"the read models do not come to position {position}")
    engine.dispose()


def _started(store: PostgresEventStore) -> Workflow:
    """A run under way."""
    now = datetime.now(UTC)
    run = Workflow.request(uuid7(), "mutual_ranking", Task(("Why is the sky blue?",)), 1, ("ada",), "", None, at=now)
    run.start("bench", (), at=now)
    store.session(envelope()).save(run)
    return run


def _seen(database: str, positions: Collection[int]) -> dict[int, float]:
    """When the row of each position was committed, as the server remembers: nobody has to look meanwhile."""
    _settled(database, max(positions))
    query = (
        "SELECT position, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM interaction_logs"
        " WHERE position >= %s"
    )
    with psycopg.connect(database) as db:
        return dict(db.execute(query, (min(positions),)).fetchall())


@contextmanager
def _projectors(database: str) -> Iterator[str]:
    """The projectors' process, with the relay, on a NATS of its own. Gives the NATS server's URL."""
    with TemporaryDirectory() as folder, EmbeddedNats(Path(folder) / "nats", Path(folder) / "nats.log") as server:
        process = get_context("spawn").Process(target=_project, args=[database, server.url, folder], daemon=True)
        process.start()
        try:
            yield server.url
        finally:
            process.terminate()
            process.join()


def _project(database: str, nats_url: str, folder: str) -> None:
    collect_rarely()
    home = Path(folder) / "home"
    home.mkdir()
    with open_core(Settings(database_url=database, nats_url=nats_url, home=home, artifacts=home)) as core:
        asyncio.run(run_projectors(core))
