"""Rebuilding the interaction log, against COPY: the rows themselves, ready as text, into the same table.

The rebuild reads, decodes and folds every event, and ends with the table verified and swapped in, all indexes made.
COPY writes what is there already into the empty table with all its indexes, as `psql` would; nothing else can be faster
that leaves the same table behind one statement.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg

from adapters.event_store import PostgresEventStore
from gateway.bootstrap import open_engine
from projections import interaction_log
from projections.rebuild import rebuild
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import fill_ours

EVENTS = 50_000


def run(database: str) -> Iterator[Result]:
    """From the first event to the swap."""
    fill_ours(database, EVENTS)
    engine = open_engine(database)
    with closing(PostgresEventStore(database)) as store, psycopg.connect(database, autocommit=True) as db:

        def ours() -> Timing:
            db.execute("CHECKPOINT")
            began = time.perf_counter()
            rebuild(engine, store, interaction_log.PROJECTOR)
            return Timing(EVENTS / (time.perf_counter() - began))

        def copy() -> Timing:
            with db.cursor().copy("COPY interaction_logs TO STDOUT") as rows:
                ready = b"".join(rows)
            db.execute("TRUNCATE interaction_logs")
            db.execute("CHECKPOINT")
            began = time.perf_counter()
            with db.cursor().copy("COPY interaction_logs FROM STDIN") as table:
                table.write(ready)
            return Timing(EVENTS / (time.perf_counter() - began))

        yield measured("project_rebuild", {"events": EVENTS}, "events/s", ours, copy, "COPY")
    engine.dispose()
