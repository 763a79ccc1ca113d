"""The log as streams read it: a batch with its runs, in a log that is full of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text

from adapters.event_feed import EventFeed
from adapters.event_store import PostgresEventStore
from gateway.bootstrap import open_engine
from tests.plans import rows_read

BATCH, FIRST, SECOND = UUID(int=1), UUID(int=2), UUID(int=3)
OTHERS = "SELECT gen_random_uuid(), 1, 'preference.proposed', '{}' FROM generate_series(1, 10000)"


@pytest.fixture
def engine(migrated: str, store: PostgresEventStore) -> Iterator[Engine]:
    engine = open_engine(migrated)
    yield engine
    engine.dispose()


def append(engine: Engine, events: str) -> None:
    with engine.begin() as db:
        db.execute(text(f"INSERT INTO stored_events (originator_id, originator_version, topic, state) {events}"))


def happened(engine: Engine, id: UUID, version: int, topic: str, run: UUID | None = None) -> None:
    state = f'{{"run": "{run}"}}' if run else "{}"
    append(engine, f"SELECT '{id}'::uuid, {version}, '{topic}', '{state}'::bytea".replace(":", r"\:"))


def asked_for(engine: Engine, version: int, run: UUID) -> None:
    """The batch asks for a run, which is started."""
    happened(engine, BATCH, version, "batch.run_requested", run)
    happened(engine, run, 1, "workflow.requested")
    happened(engine, run, 2, "workflow.started")


def found(events: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(UUID(str(event["subject"])), event["version"]) for event in events]


@contextmanager
def between_two_queries(engine: Engine, write: str) -> Iterator[None]:
    """As soon as one was answered somebody else appends this."""
    pending = [write]

    def meanwhile(*_: object) -> None:
        if pending:
            append(engine, pending.pop())

    event.listen(engine, "after_cursor_execute", meanwhile)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", meanwhile)


def test_a_batch_and_its_runs_are_found_among_all_others(engine: Engine) -> None:
    feed = EventFeed(engine)
    append(engine, OTHERS)
    happened(engine, BATCH, 1, "batch.requested")
    asked_for(engine, 2, FIRST)
    append(engine, OTHERS)
    asked_for(engine, 3, SECOND)
    append(engine, OTHERS)
    with engine.begin() as db:
        db.execute(text("ANALYZE stored_events"))
    everything = [(BATCH, 1), (BATCH, 2), (FIRST, 1), (FIRST, 2), (BATCH, 3), (SECOND, 1), (SECOND, 2)]
    assert found(feed.page(batch=BATCH)) == everything
    assert found(feed.page(batch=BATCH, limit=2, newest_first=True)) == everything[:-3:-1]
    assert found(feed.page(batch=BATCH, after=10_001, types=("workflow.started",))) == [(FIRST, 2), (SECOND, 2)]
    assert rows_read(engine, lambda: feed.page(batch=BATCH)) < 100
    assert rows_read(engine, lambda: feed.page(batch=BATCH, after=10_003)) < 100


def test_there_is_nothing_of_a_batch_that_nobody_asked_for(engine: Engine) -> None:
    append(engine, OTHERS)
    assert EventFeed(engine).page(batch=BATCH) == []


def test_what_a_new_run_does_while_a_page_is_read_is_on_the_next_one_whole(engine: Engine) -> None:
    feed = EventFeed(engine)
    happened(engine, BATCH, 1, "batch.requested")
    asked_for(engine, 2, FIRST)
    new = f"""
        SELECT '{BATCH}'\\:\\:uuid, 3, 'batch.run_requested', '{{"run"\\: "{SECOND}"}}'\\:\\:bytea
        UNION ALL SELECT '{SECOND}'\\:\\:uuid, 1, 'workflow.requested', '{{}}'
        UNION ALL SELECT '{BATCH}'\\:\\:uuid, 4, 'batch.paused', '{{}}'
    """
    with between_two_queries(engine, new):
        page = feed.page(batch=BATCH)
    rest = feed.page(after=page[-1]["position"], batch=BATCH)
    assert found(page + rest)[-3:] == [(BATCH, 3), (SECOND, 1), (BATCH, 4)]
