"""What a store's size does to it: appending one event, and reading a page of 500 somewhere in its middle, with 10^4 to
10^6 events in it, or as many as `BENCH_EVENTS` says. The peer is the same at the smallest size."""

from __future__ import annotations

import os
import random
import time
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
from tests.bench.results import Result, latency
from tests.bench.step_events import envelope

SIZES = (10_000, 100_000, 1_000_000)
LOOKS = 300
PAGE = 500
FILL = """
WITH numbered AS (
    SELECT n, md5((n / 100)::text)::uuid AS id, n %% 100 + 1 AS version, decode(md5(n::text), 'hex') AS salt
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
), salted AS (
    INSERT INTO event_salts SELECT id, version, salt FROM numbered
)
INSERT INTO stored_events (originator_id, originator_version, topic, state, event_id, command_index, command_id,
    actor_subject, actor_kind, correlation_id, commitment)
SELECT id, version, 'workflow.step_recorded', %(state)s, md5('event' || n)::uuid, 0, md5('command' || n)::uuid,
    'bench', 'automation', id, sha256(salt || %(state)s)
FROM numbered ORDER BY n
"""


def run(database: str) -> Iterator[Result]:
    """Two results a size."""
    schema.upgrade(database)
    engine = open_engine(database)
    smallest: dict[str, float] = {}
    with closing(PostgresEventStore(database)) as store:
        for size in sizes():
            _fill(database, size)
            feed = EventFeed(engine)
            looks: dict[str, Callable[[], object]] = {
                "append": lambda: store.recorder.insert_events(step_events(uuid4(), 0, 1), envelope=envelope()),
                "page": lambda: feed.page(after=random.randrange(size - PAGE), limit=PAGE),  # noqa: B023
            }
            for what, look in looks.items():
                waits = [_milliseconds(look) for _ in range(LOOKS)]
                ours = median(waits)
                peer = smallest.setdefault(what, ours)
                yield Result(
                    "growth", {"events": size, "what": what}, ours, "ms", peer, f"at {sizes()[0]:,}", latency(waits)
                )
    engine.dispose()


def sizes() -> tuple[int, ...]:
    """How many events there are in the store, in turn."""
    asked = int(os.environ.get("BENCH_EVENTS", SIZES[-1]))
    return (*(size for size in SIZES if size < asked), asked)


def _fill(url: str, size: int) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        (head,) = db.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchone() or (0,)
        state = step_events(uuid4(), 0, 1)[0].state
        for first in range(head + 1, size + 1, 100_000):
            last = min(first + 99_999, size)
            db.execute(FILL, {"first": first, "last": last, "state": state})
        db.execute("VACUUM ANALYZE stored_events")
        db.execute("CHECKPOINT")


def _milliseconds(look: Callable[[], object]) -> float:
    began = time.perf_counter()
    look()
    return 1000 * (time.perf_counter() - began)
