"""Loading runs: from memory (warm) or from a snapshot and what came after it (cold), against the library's replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from adapters import schema
from adapters.event_json import PlainJsonMapper
from adapters.event_store import PostgresEventStore
from adapters.snapshots import EVENTS_BETWEEN
from domain.steps import Step, Task, step_id
from domain.workflow import Workflow
from tests.bench.library import StepLog, environment
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import CALL, envelope

EVENTS = (100, 1_000, 10_000, 50_000)
LOADS = 40
"""Of a round; the peer loads once."""
TOGETHER = 500
AFTER_THE_SNAPSHOT = EVENTS_BETWEEN // 2
"""How old a snapshot is on average, in events."""


def run(our_database: str, peer_database: str) -> Iterator[Result]:
    """Each size twice, with the same peer."""
    schema.upgrade(our_database)
    with StepLog(environment(peer_database)) as log:
        for events in EVENTS:
            id = uuid7()
            history = _history(id, events)
            _fill_ours(our_database, history)
            _in_parts(history, log.events.put)
            with closing(PostgresEventStore(our_database)) as store:
                for how in ("cold", "warm"):
                    yield _compared(store, log, id, events, how)


def _compared(store: PostgresEventStore, log: StepLog, id: UUID, events: int, how: str) -> Result:
    def cold() -> object:
        return store.session(envelope()).get(Workflow, id)

    def warm() -> object:
        with store.session(envelope()) as session:
            return session.get(Workflow, id)

    load = {"cold": cold, "warm": warm}[how]
    load()

    def ours() -> Timing:
        waits = [_milliseconds(load) for _ in range(LOADS)]
        return Timing(median(waits), waits)

    def peer() -> Timing:
        return Timing(_milliseconds(lambda: log.repository.get(id)))

    return measured("load_run", {"events": events, "how": how}, "ms", ours, peer, "eventsourcing")


def _history(id: UUID, events: int) -> Sequence[Any]:
    """Of a run with that many events, all but two of them steps."""
    now = datetime.now(UTC)
    run = Workflow.request(id, "mutual_ranking", Task(("Why is the sky blue?",)), 1, ("ada",), "", None, at=now)
    run.start("bench", (), at=now)
    for n in range(events - run.version):
        run.record_step(1, Step(step_id(id, "ada", "answer", n), "ada", "answer", n, CALL), at=now)
    return run.collect_events()


def _fill_ours(url: str, history: Sequence[Any]) -> None:
    """With a snapshot of average age. A run that is too short for one has none."""
    mapper = PlainJsonMapper()

    def put(store: PostgresEventStore, part: Sequence[Any]) -> None:
        _in_parts(
            [mapper.to_stored_event(event) for event in part],
            lambda events: store.recorder.insert_events(events, envelope=envelope()),
        )

    with closing(PostgresEventStore(url)) as store:
        put(store, history[:-AFTER_THE_SNAPSHOT])
        store.session(envelope()).find(Workflow, history[0].originator_id)
    with closing(PostgresEventStore(url)) as store:
        put(store, history[-AFTER_THE_SNAPSHOT:])


def _in_parts(events: Sequence[Any], put: Callable[[Sequence[Any]], object]) -> None:
    for start in range(0, len(events), TOGETHER):
        put(events[start : start + TOGETHER])


def _milliseconds(load: Callable[[], object]) -> float:
    began = time.perf_counter()
    load()
    return 1000 * (time.perf_counter() - began)
