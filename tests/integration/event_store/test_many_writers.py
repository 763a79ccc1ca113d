"""Many write at once, or hang while they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from psycopg import Cursor
from psycopg.rows import DictRow

from adapters.event_json import PlainJsonMapper
from adapters.event_recorder import POOL
from adapters.event_rows import Save
from adapters.event_store import PostgresEventStore
from commands.preferences import AnnotatePreference
from domain.ports.events import ConcurrentWrite
from domain.preference import Verdict
from tests.builders import a_preference
from tests.fakes import an_envelope
from tests.integration.event_store.buses import PROPOSE, a_bus

WAITS_FOR_THE_LOCK = "SELECT 1 FROM pg_locks WHERE relation = 'stored_events'::regclass AND NOT granted"


def test_of_saves_that_are_committed_together_those_that_conflict_fail_alone(
    store: PostgresEventStore, migrated: str
) -> None:
    contended = [a_preference("contended") for _ in range(4)]
    others = [a_preference(f"{n}") for n in range(8)]
    with psycopg.connect(migrated) as holder, ThreadPoolExecutor(12) as threads:
        holder.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")  # meanwhile they all arrive
        first, *rest = (*contended, *others)
        saves = [threads.submit(store.session(an_envelope()).save, first)]
        while not holder.execute(WAITS_FOR_THE_LOCK).fetchone():
            time.sleep(0.01)
        saves += [threads.submit(store.session(an_envelope()).save, one) for one in rest]
        while store.recorder.waiting < len(rest):
            time.sleep(0.01)
        holder.commit()
        errors = [save.exception() for save in saves]
    assert [type(error) for error in errors if error] == [ConcurrentWrite] * 3
    assert errors[4:] == [None] * 8
    found = [recorded.position for recorded in store.read()]
    assert sorted(save.result().position for save in saves if not save.exception()) == found
    assert len(found) == 9


def test_a_connection_that_is_lost_while_a_save_is_refused_loses_no_other(
    store: PostgresEventStore, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper, recorder = PlainJsonMapper(), store.recorder
    known, new = ([mapper.to_stored_event(event) for event in a_preference(name).pending_events] for name in "ab")
    recorder.insert_events(known)
    write, lost = recorder._write, []

    def write_and_lose(cursor: Cursor[DictRow], saves: Sequence[Save]) -> list[list[int]]:
        try:
            return write(cursor, saves)
        except psycopg.IntegrityError:
            if len(saves) == 1 and not lost:  # so the way back to the savepoint is the next thing to be asked
                lost.append(cursor.connection.info.backend_pid)
                with psycopg.connect(migrated) as admin:
                    admin.execute("SELECT pg_terminate_backend(%s, 10000)", lost)
            raise

    monkeypatch.setattr(recorder, "_write", write_and_lose)
    written, refused = recorder._commit([Save(new, None), Save(known, None)])
    assert lost
    assert isinstance(refused, IntegrityError)
    assert written == [row["notification_id"] for row in store.read_rows(after=1)]


def test_the_tasks_of_an_event_loop_write_together_too(store: PostgresEventStore) -> None:
    mapper = PlainJsonMapper()

    async def write(n: int) -> list[int]:
        events = [mapper.to_stored_event(event) for event in a_preference(f"{n}").pending_events]
        return await store.recorder.insert_events_async(events, envelope=an_envelope())

    async def write_all() -> list[list[int]]:
        return await asyncio.gather(*map(write, range(20)))

    assert asyncio.run(write_all()) == [[recorded.position] for recorded in store.read()]


def test_two_processes_that_write_at_once_wait_for_each_other_but_never_for_ever(
    store: PostgresEventStore, migrated: str
) -> None:
    def write(n: int) -> int:
        into = (store, another)[n % 2]
        return into.session(an_envelope()).save(a_preference(f"{n}")).position

    with closing(PostgresEventStore(migrated)) as another, ThreadPoolExecutor(4) as threads:
        positions = list(threads.map(write, range(200)))
    assert sorted(positions) == [recorded.position for recorded in store.read()]
    with psycopg.connect(migrated) as connection:
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert connection.execute(deadlocks).fetchone() == (0,)


def test_many_threads_that_change_one_aggregate_at_once_all_get_through(store: PostgresEventStore) -> None:
    bus = a_bus(store)
    preference = bus.execute(PROPOSE, an_envelope()).id

    def annotate(n: int) -> int:
        return bus.execute(AnnotatePreference(preference, Verdict.ACCEPTED, f"{n}"), an_envelope()).version

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(annotate, range(50))) == set(range(2, 52))


def test_a_writer_that_hung_in_its_transaction_does_it_again(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POOL, "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT", "1")
    with closing(PostgresEventStore(migrated)) as store:
        hangs = [2.0]

        def hang_once(_: object) -> None:
            if hangs:
                time.sleep(hangs.pop())

        monkeypatch.setattr(store.recorder, "_also", lambda **_: hang_once)
        written = store.session(an_envelope()).save(a_preference())
        assert [recorded.position for recorded in store.read()] == [written.position]
        assert hangs == []
