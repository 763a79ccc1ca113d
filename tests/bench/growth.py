"""What a store's size does to it: appending one event, and reading a page of 500 somewhere in its middle, with 10^4 to
10^6 events in it, or as many as `BENCH_EVENTS` says. The peer is the same at the smallest size.

The stores lie side by side and are measured in turn.
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median
from uuid import uuid4

import psycopg

from adapters import schema
from adapters.event_feed import EventFeed
from adapters.event_store import PostgresEventStore
from gateway.bootstrap import open_engine
from tests.bench.append import step_events
from tests.bench.results import ROUNDS, Result, latency
from tests.bench.step_events import envelope

SIZES = (10_000, 100_000, 1_000_000)
WARM_UP = 200
LOOKS = 200
"""Of a round."""
PAGE = 500
FILL = """
WITH numbered AS (
    SELECT n, md5((n / 100)::text)::uuid AS id, n %% 100 + 1 AS version, decode(md5(n::text), 'hex') AS salt
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
), salted AS (
    INSERT INTO event_salts SELECT n, salt FROM numbered
)
INSERT INTO stored_events (originator_id, originator_version, topic, state, event_id, command_index, command_id,
    actor_subject, actor_kind, correlation_id, commitment)
SELECT id, version, 'workflow.step_recorded', %(state)s, md5('event' || n)::uuid, 0, md5('command' || n)::uuid,
    'bench', 'automation', id, sha256(salt || %(state)s)
FROM numbered ORDER BY n
"""

Waits = dict[tuple[int, str], list[float]]
"""In milliseconds, by size and by what was done."""


def run(database: Callable[[], str]) -> Iterator[Result]:
    """Two results a size."""
    stores = {size: database() for size in sizes()}
    for size, url in stores.items():
        _fill(url, size)
    waits: Waits = defaultdict(list)
    for _ in range(ROUNDS):
        for size, url in stores.items():
            _measure(url, size, waits)
    for (size, what), found in waits.items():
        smallest = median(waits[sizes()[0], what])
        parameters = {"events": size, "what": what}
        yield Result("growth", parameters, median(found), "ms", smallest, f"at {sizes()[0]:,}", latency(found))


def sizes() -> tuple[int, ...]:
    """How many events the stores hold."""
    asked = int(os.environ.get("BENCH_EVENTS", SIZES[-1]))
    return (*(size for size in SIZES if size < asked), asked)


def _measure(url: str, size: int, waits: Waits) -> None:
    engine = open_engine(url)
    feed = EventFeed(engine)
    with closing(PostgresEventStore(url)) as store:

        def append() -> None:
            store.recorder.insert_events(step_events(uuid4(), 0, 1), envelope=envelope())

        def page() -> None:
            feed.page(after=random.randrange(size - PAGE), limit=PAGE)

        for _ in range(WARM_UP):
            append()
        waits[size, "append"] += [_milliseconds(append) for _ in range(LOOKS)]
        waits[size, "page"] += [_milliseconds(page) for _ in range(LOOKS)]
    engine.dispose()


def _fill(url: str, size: int) -> None:
    schema.upgrade(url)
    state = step_events(uuid4(), 0, 1)[0].state
    with psycopg.connect(url, autocommit=True) as db:
        for first in range(1, size + 1, 100_000):
            db.execute(FILL, {"first": first, "last": min(first + 99_999, size), "state": state})
        db.execute("VACUUM ANALYZE stored_events")
        db.execute("CHECKPOINT")


def _milliseconds(look: Callable[[], object]) -> float:
    began = time.perf_counter()
    look()
    return 1000 * (time.perf_counter() - began)
