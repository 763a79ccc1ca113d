"""Rebuilding the interaction log, against COPY: the same rows, at hand in Python, into the same table with its indexes.

The rebuild reads, decodes and folds every event, makes the indexes, verifies what comes out and swaps it in. COPY, as
text, has the rows already, and all indexes are there meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

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
            rows = [_copied(row) for row in db.execute("SELECT * FROM interaction_logs")]
            db.execute("TRUNCATE interaction_logs")
            db.execute("CHECKPOINT")
            began = time.perf_counter()
            with db.cursor().copy("COPY interaction_logs FROM STDIN") as table:
                for row in rows:
                    table.write_row(row)
            return Timing(len(rows) / (time.perf_counter() - began))

        yield measured("project_rebuild", {"events": EVENTS}, "events/s", ours, copy, "COPY")
    engine.dispose()


def _copied(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row as psycopg spells it out."""
    return tuple(Jsonb(value) if isinstance(value, list) else value for value in row)
