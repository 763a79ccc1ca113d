"""Snapshots and the aggregates kept in memory change nothing but the time that loading takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import aggregate_cache, snapshots
from adapters.event_store import PostgresEventStore
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.kinds import KINDS
from commands.workflows import CastBallot, CompleteWorkflow, RecordStep, StartWorkflow, StopWorkflow
from domain.errors import DomainError, Invalid
from domain.ports.events import ConcurrentWrite
from domain.ranking import Ballot, Outcome
from domain.steps import Step, Task, step_id
from domain.training import TrainingRun
from domain.workflow import State, Workflow
from tests.builders import CAST, NOW, a_call, a_progress, a_started_training_run
from tests.fakes import BASE_MODELS, JsonRoster, MemoryEventStore, an_envelope

BETWEEN = 3


@pytest.fixture(autouse=True)
def snapshots_are_taken_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "EVENTS_BETWEEN", BETWEEN)


@contextmanager
def opened(url: str) -> Iterator[tuple[PostgresEventStore, CommandBus]]:
    """A process that knows nothing yet. At its end every snapshot that it began is written."""
    with closing(PostgresEventStore(url)) as store:
        yield store, CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store)


def a_run(id: UUID) -> Workflow:
    run = Workflow.request(id, "mutual_ranking", Task(("Which city?",)), 1, ("ada", "ben"), "", None, at=NOW)
    run.start("worker-1", CAST, at=NOW)
    return run


def a_step(run: UUID, n: int) -> Step:
    return Step(step_id(run, "ada", "answer", n), "ada", "answer", n, a_call())


def a_ballot(run: UUID, n: int) -> Ballot:
    """On steps n and n + 1."""
    first, second = (step_id(run, "ada", "answer", each) for each in (n, n + 1))
    return Ballot(step_id(run, "cyd", "ballot", n), "cyd", "verdict/1", first, second, Outcome.FIRST, steps=(first,))


def played(url: str, steps: int = 7) -> UUID:
    """A run of so many steps, and its snapshot."""
    id = uuid4()
    with opened(url) as (store, bus):
        store.session(an_envelope()).save(a_run(id))
        for n in range(steps):
            bus.execute(RecordStep(id, 1, a_step(id, n)), an_envelope())
        bus.execute(CastBallot(id, 1, a_ballot(id, 0)), an_envelope())
    return id


def state(aggregate: Any) -> dict[str, Any]:
    """But for times, of which each store has its own."""
    return {name: getattr(aggregate, name) for name in ("id", "version", *(field.name for field in fields(aggregate)))}


def found(url: str, id: UUID, kind: type[Workflow | TrainingRun] = Workflow) -> dict[str, Any]:
    """All that a fresh process knows of it."""
    with opened(url) as (store, _):
        aggregate = store.session(an_envelope()).get(kind, id)
    return state(aggregate)


def sql(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement, values)  # type: ignore[call-overload]  # a test's own statements
        return cursor.fetchall() if cursor.description else []


def forget(url: str, which: str) -> None:
    """As if these events had never been."""
    gone = f"DELETE FROM stored_events WHERE {which} RETURNING notification_id"
    sql(url, f"WITH gone AS ({gone}) DELETE FROM event_salts USING gone WHERE position = notification_id")


BREAK_THE_FIRST_EVENTS = "UPDATE stored_events SET state = 'broken' WHERE originator_version <= 2"


# --- snapshots


def test_what_a_snapshot_holds_need_not_be_read_again(database: str) -> None:
    run = played(database)
    sql(database, "DELETE FROM snapshots")
    replayed = found(database, run)
    assert sql(database, "SELECT version FROM snapshots") == [(10,)]
    sql(database, BREAK_THE_FIRST_EVENTS)
    assert found(database, run) == replayed


def test_a_training_run_has_snapshots_too(database: str) -> None:
    run = a_started_training_run()
    for step in range(1, 4):
        run.progress(1, a_progress(step), at=NOW)
    with opened(database) as (store, _):
        store.session(an_envelope()).save(run)
    assert found(database, run.id, TrainingRun) == state(run)
    sql(database, BREAK_THE_FIRST_EVENTS)
    assert found(database, run.id, TrainingRun) == state(run)


def test_a_snapshot_is_taken_whenever_the_history_has_grown(database: str) -> None:
    run = played(database, steps=BETWEEN)
    (before,) = sql(database, "SELECT version FROM snapshots")
    with opened(database) as (_, bus):
        for n in range(BETWEEN, 4 * BETWEEN):
            bus.execute(RecordStep(run, 1, a_step(run, n)), an_envelope())
    (after,) = sql(database, "SELECT version FROM snapshots")
    assert before < after


@pytest.mark.parametrize(
    "harm",
    [
        "SET state = 'not JSON'",
        "SET state = '{}'",
        "SET state = replace(encode(state, 'escape'), '\"epoch\":1', '\"epoch\":\"many\"')::bytea",
        "SET id_sets[1] = 'cut short'",
        "SET id_sets = '{}'",
        "SET id_sets = '{NULL,NULL}'",
        "SET state = replace(encode(state, 'escape'), '{', '{\"more\":1,')::bytea",
        "SET fingerprint = 'of other code'",
        "SET version = version - 1",
        "SET version = version + 100",
        "SET position = position + 100",
        "SET event = 'another'",
    ],
)
def test_a_snapshot_that_cannot_be_trusted_is_ignored(database: str, harm: str) -> None:
    run = played(database)
    expected = found(database, run)
    sql(database, f"UPDATE snapshots {harm}")
    assert found(database, run) == expected
    sql(database, BREAK_THE_FIRST_EVENTS)
    assert found(database, run) == expected, "another one took its place"


def test_code_that_was_changed_reads_no_snapshot_of_before(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = played(database)
    monkeypatch.setattr(snapshots, "fingerprint", lambda _: b"of other code")
    sql(database, BREAK_THE_FIRST_EVENTS)
    with pytest.raises(ValueError, match=r"this is no workflow\.requested"):
        found(database, run)


def test_a_snapshot_that_cannot_be_written_stops_nobody(database: str) -> None:
    sql(database, "ALTER TABLE snapshots ADD CHECK (version < 0)")
    assert found(database, played(database))["version"] == 10


def test_a_snapshot_that_cannot_be_written_now_keeps_no_process_from_ending(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(snapshots, "WRITE_SECONDS", 1)
    run = played(database)
    sql(database, "DELETE FROM snapshots")
    with closing(PostgresEventStore(database)) as store, psycopg.connect(database) as another:
        another.execute("LOCK TABLE snapshots IN SHARE MODE")
        loaded = store._aggregates.load(Workflow, run)
        assert loaded
        store._aggregates.close()
        assert [thread.daemon for thread in threading.enumerate() if thread.name.startswith("snapshot")] == [True]
        writing = store._aggregates._snapshots._writing
        assert writing.acquire(timeout=60), "it was given up, though the lock is still there"
        writing.release()
        loaded.snapshot = 0
        store._aggregates._snapshots.offer(loaded)
        assert not writing.locked(), "no more are taken"


# --- what is kept in memory


def test_what_is_known_need_not_be_read_again_and_what_others_wrote_is(database: str) -> None:
    with opened(database) as (store, bus), opened(database) as (_, another):
        id = uuid4()
        store.session(an_envelope()).save(a_run(id))
        bus.execute(RecordStep(id, 1, a_step(id, 0)), an_envelope())
        sql(database, "DELETE FROM snapshots")
        another.execute(RecordStep(id, 1, a_step(id, 1)), an_envelope())
        sql(database, BREAK_THE_FIRST_EVENTS)
        assert bus.execute(CastBallot(id, 1, a_ballot(id, 0)), an_envelope()).version == 5


@pytest.mark.parametrize("most", ["MOST_AGGREGATES", "MOST_BYTES"])
def test_memory_is_bounded(database: str, monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    ids = [uuid4() for _ in range(3)]
    with opened(database) as (store, bus):
        for id in ids:
            store.session(an_envelope()).save(a_run(id))
            bus.execute(RecordStep(id, 1, a_step(id, 0)), an_envelope())
        cache = store._aggregates._cache
        monkeypatch.setattr(aggregate_cache, most, {"MOST_AGGREGATES": 2, "MOST_BYTES": cache._bytes - 1}[most])
        bus.execute(RecordStep(ids[2], 1, a_step(ids[2], 0)), an_envelope())
        assert [cache.take(id) is None for id in ids] == [True, False, False]
        assert cache._bytes == 0


def test_after_the_store_was_set_back_memory_and_snapshots_of_what_is_gone_are_forgotten(database: str) -> None:
    def set_back() -> None:
        forget(database, "originator_version > 4")

    run = played(database)
    with opened(database) as (_, bus):
        bus.execute(RecordStep(run, 1, a_step(run, 0)), an_envelope())
        set_back()
        assert bus.execute(RecordStep(run, 1, a_step(run, 2)), an_envelope()).version == 5
        set_back()
        with opened(database) as (_, another):
            another.execute(StopWorkflow(run, ""), an_envelope())
        with pytest.raises(DomainError, match="stopped"):
            bus.execute(RecordStep(run, 1, a_step(run, 3)), an_envelope())


def test_another_event_at_the_same_version_and_position_is_noticed(database: str) -> None:
    last = "SELECT max(originator_version), max(notification_id) FROM stored_events"
    run = played(database)
    with opened(database) as (_, bus):
        bus.execute(RecordStep(run, 1, a_step(run, 7)), an_envelope())
        sql(database, "DELETE FROM snapshots")
        found(database, run)
        sql(database, "CREATE TABLE snapshots_of_before AS SELECT * FROM snapshots")
        before = sql(database, last)
        forget(database, "originator_version = 11")
        sql(database, "ALTER TABLE stored_events ALTER notification_id RESTART WITH 11")
        with opened(database) as (_, another):
            another.execute(StopWorkflow(run, ""), an_envelope())
        assert sql(database, last) == before == [(11, 11)]
        sql(database, "DELETE FROM snapshots")
        sql(database, "INSERT INTO snapshots SELECT * FROM snapshots_of_before")
        assert found(database, run)["state"] is State.STOPPED
        with pytest.raises(DomainError, match="stopped"):
            bus.execute(RecordStep(run, 1, a_step(run, 8)), an_envelope())


def test_what_was_changed_and_not_saved_is_forgotten(database: str) -> None:
    with opened(database) as (store, bus):
        run = a_run(uuid4())
        store.session(an_envelope()).save(run)
        with store.session(an_envelope()) as session:
            session.get(Workflow, run.id).stop("never said", at=NOW)
        with suppress(Invalid), store.session(an_envelope()) as session:
            session.get(Workflow, run.id).stop("refused in the end", at=NOW)
            raise Invalid("after all")
        with store.session(an_envelope()) as session:
            loser = session.get(Workflow, run.id)
            loser.stop("said too late", at=NOW)
            bus.execute(RecordStep(run.id, 1, a_step(run.id, 0)), an_envelope())
            with pytest.raises(ConcurrentWrite):
                session.save(loser)
        assert bus.execute(RecordStep(run.id, 1, a_step(run.id, 1)), an_envelope()).version == 4


# --- the same as without

RUNS = 2
COMMANDS: list[Callable[[UUID, int], object]] = [
    lambda run, n: RecordStep(run, 1, a_step(run, n)),
    lambda run, n: CastBallot(run, 1, a_ballot(run, n)),
    lambda run, n: StartWorkflow(run, f"worker-{n}", CAST),
    lambda run, n: RecordStep(run, 2, a_step(run, n)),
    lambda run, n: StopWorkflow(run, "", expected_version=n),
    lambda run, _: CompleteWorkflow(run, 1),
]
A_CALL = st.tuples(st.integers(0, 1), st.integers(0, RUNS - 1), st.sampled_from(COMMANDS), st.integers(0, 5))


def test_two_processes_that_remember_decide_as_one_that_does_not(database: str) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(opened(database)) for _ in range(2)]

        @settings(max_examples=25, deadline=None)
        @given(st.lists(A_CALL, min_size=5, max_size=25))
        def decide_alike(calls: list[Any]) -> None:
            plain = MemoryEventStore()
            runs = [uuid4() for _ in range(RUNS)]
            for store in (plain, processes[0][0]):
                store.session(an_envelope()).save(*map(a_run, runs))
            for process, run, command, n in calls:
                asked = command(runs[run], n)
                assert answer(processes[process][1], asked) == answer(plain.bus(), asked)
            for store, _ in processes:
                for run in runs:
                    assert state(store.session(an_envelope()).get(Workflow, run)) == state(plain.load(run))

        decide_alike()


def test_many_threads_of_two_processes_record_each_step_once(database: str) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(opened(database)) for _ in range(2)]
        run = a_run(uuid4())
        processes[0][0].session(an_envelope()).save(run)

        def record(n: int) -> None:
            command = RecordStep(run.id, 1, a_step(run.id, n // 2))
            while True:
                try:
                    processes[n % 2][1].execute(command, an_envelope())
                except ConcurrentWrite:
                    continue
                return

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(record, range(80)))
        for store, _ in processes:
            assert len(store.session(an_envelope()).get(Workflow, run.id).steps) == 40
    assert found(database, run.id)["version"] == 42


def answer(bus: CommandBus, command: object) -> int | str:
    """The version that came of it, or what was said against it."""
    try:
        return bus.execute(command, an_envelope()).version
    except DomainError as refused:
        return f"{type(refused).__name__}: {refused}"
