"""Reading and decoding events: our store against the library's recorder and its JSON mapper.

What comes out is the same event. Ours is checked against its types and has its envelope with it; the library's is not
checked and has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from adapters.event_store import PostgresEventStore
from tests.bench.library import StepLog, environment
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import fill_library, fill_ours

EVENTS = 20_000
PAGE = 500
"""Events a query, on both sides."""


def run(our_database: str, peer_database: str) -> Iterator[Result]:
    """Every event, from the first on."""
    fill_ours(our_database, EVENTS)
    fill_library(peer_database, EVENTS)
    with closing(PostgresEventStore(our_database)) as store, StepLog(environment(peer_database)) as log:

        def ours() -> Timing:
            began = time.perf_counter()
            read = sum(1 for _ in store.read())
            return Timing(read / (time.perf_counter() - began))

        def peers() -> Timing:
            began = time.perf_counter()
            read, last = 0, 0
            while page := log.recorder.select_notifications(last + 1, PAGE):
                read += len([log.mapper.to_domain_event(notification) for notification in page])
                last = page[-1].id
            return Timing(read / (time.perf_counter() - began))

        yield measured("read_decode", {"events": EVENTS}, "events/s", ours, peers, "eventsourcing")
