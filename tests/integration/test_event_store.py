"""The event store on real servers: PostgreSQL 18 as embedded, and the one that the system brings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from adapters.event_json import PlainJsonMapper
from adapters.event_recorder import POOL, EnvelopeRecorder, UnsafePositions
from adapters.event_store import PostgresEventStore, utc_now
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.preferences import AnnotatePreference, ProposePreference, RevisePreference
from domain.errors import CommandReused, NotFound, VersionConflict
from domain.events import Actor, ActorKind, Envelope
from domain.ports import ConcurrentWrite
from domain.preference import Preference, Verdict
from domain.workflow import Workflow
from tests.builders import NOW, a_pair, a_preference, a_workflow, an_id
from tests.external_postgres import ExternalPostgres
from tests.fakes import BASE_MODELS, KINDS, JsonRoster, an_envelope
from tests.trapping_proxy import TrappingProxy

PROPOSE = ProposePreference(a_pair())
WAITS_FOR_THE_LOCK = "SELECT 1 FROM pg_locks WHERE relation = 'stored_events'::regclass AND NOT granted"


@pytest.fixture(params=["embedded", "external"])
def migrated(request: pytest.FixtureRequest) -> str:
    """The URL of a database with our tables, on either server."""
    url: str = request.getfixturevalue({"embedded": "database", "external": "external_database"}[request.param])
    return url


@pytest.fixture
def store(migrated: str) -> Iterator[PostgresEventStore]:
    with closing(PostgresEventStore(migrated)) as store:
        yield store


def a_bus(store: PostgresEventStore) -> CommandBus:
    return CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store)


def names(store: PostgresEventStore) -> list[str]:
    return [recorded.type for recorded in store.read()]


# --- what is stored


def test_an_event_is_read_back_with_its_envelope(store: PostgresEventStore) -> None:
    envelope = Envelope(
        actor=Actor("ada", ActorKind.HUMAN),
        correlation_id=uuid4(),
        command_id=uuid4(),
        causation_id=uuid4(),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        project="atlas",
        data_subjects=("ben", 'cyd "the fox", \\{d\\}', "NULL", ""),
    )
    preference = a_preference()
    (event,) = preference.pending_events
    written = store.session(replace(envelope, fingerprint=b"body")).save(preference)
    (recorded,) = store.read()
    assert (recorded.event, recorded.envelope, recorded.position) == (event, envelope, written.position)
    assert abs(recorded.recorded_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert list(store.history(preference.id)) == [recorded]


def test_the_payload_is_plain_json_for_everyone(store: PostgresEventStore, migrated: str) -> None:
    store.session(an_envelope()).save(a_preference())
    with psycopg.connect(migrated, row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM event_log").fetchone()
    assert row is not None
    assert (row["type"], row["actor_kind"], row["schema_version"]) == ("preference.proposed", "human", 1)
    assert row["data"]["pair"]["prompt"] == [{"role": "user", "content": "Which city?"}]
    assert set(row["data"]) == {"pair", "probability", "margin", "method", "lineage", "timestamp"}


def test_each_events_commitment_is_the_hash_of_its_salt_and_state(store: PostgresEventStore, migrated: str) -> None:
    preference = a_preference()
    preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    store.session(an_envelope()).save(preference)
    query = (
        "SELECT salt, state, commitment FROM stored_events JOIN event_salts USING (originator_id, originator_version)"
    )
    with psycopg.connect(migrated) as connection:
        rows = connection.execute(query).fetchall()
    assert len({salt for salt, _, _ in rows}) == 2
    assert all(commitment == sha256(salt + state).digest() for salt, state, commitment in rows)


def test_an_aggregate_is_loaded_as_it_was_saved(store: PostgresEventStore) -> None:
    session = store.session(an_envelope())
    preference = a_preference()
    preference.annotate(Verdict.FLIPPED, "", at=NOW)
    session.save(preference)
    assert session.get(Preference, preference.id, version=2).pair == preference.pair
    assert session.find(Workflow, preference.id) is None
    with pytest.raises(VersionConflict):
        session.get(Preference, preference.id, version=1)
    with pytest.raises(NotFound):
        session.get(Preference, an_id("nothing"))


def test_several_aggregates_are_saved_together(store: PostgresEventStore) -> None:
    written = store.session(an_envelope()).save(a_preference(), a_workflow())
    assert names(store) == ["preference.proposed", "workflow.requested"]
    assert (written.id, written.version, written.position) == (a_preference().id, 1, store.head())


def test_a_reader_takes_the_positions_and_topics_that_it_wants(store: PostgresEventStore) -> None:
    for n in range(3):
        store.session(an_envelope()).save(a_preference(f"{n}"))
    store.session(an_envelope()).save(a_workflow())
    first, *_, last = [recorded.position for recorded in store.read()]
    assert [recorded.position for recorded in store.read(after=first, upto=last - 1)] == [first + 1, first + 2]
    assert [recorded.type for recorded in store.read(topics=["workflow.requested"])] == ["workflow.requested"]
    assert len(list(store.read_rows(limit=2))) == 2
    assert store.head() == last


def test_an_empty_store_ends_at_zero(store: PostgresEventStore) -> None:
    assert store.head() == 0
    assert list(store.read()) == list(store.history(an_id("nothing"))) == []
    assert store.outcome(an_id("no command")) is None


# --- many writers


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


def test_the_tasks_of_an_event_loop_write_together_too(store: PostgresEventStore) -> None:
    mapper = PlainJsonMapper()

    async def write(n: int) -> list[int]:
        events = [mapper.to_stored_event(event) for event in a_preference(f"{n}").pending_events]
        return await store.recorder.insert_events_async(events, envelope=an_envelope())

    async def write_all() -> list[list[int]]:
        return await asyncio.gather(*map(write, range(20)))

    assert asyncio.run(write_all()) == [[recorded.position] for recorded in store.read()]


def test_a_writer_that_hung_in_its_transaction_does_it_again(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POOL, "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT", "1")
    with closing(PostgresEventStore(migrated)) as store:
        write, hangs = store.recorder._write, [2.0]

        def hang_once(*arguments: Any) -> Any:
            if hangs:
                time.sleep(hangs.pop())
            return write(*arguments)

        monkeypatch.setattr(store.recorder, "_write", hang_once)
        written = store.session(an_envelope()).save(a_preference())
        assert [recorded.position for recorded in store.read()] == [written.position]


def test_what_the_url_leaves_out_comes_from_libpqs_environment(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in conninfo_to_dict(migrated).items():
        monkeypatch.setenv({"dbname": "PGDATABASE"}.get(name, f"PG{name.upper()}"), str(value))
    with closing(PostgresEventStore("postgresql://")) as store:
        assert store.head() == 0


def test_a_closed_store_says_so(migrated: str) -> None:
    store = PostgresEventStore(migrated)
    store.close()
    with pytest.raises(OperationalError, match="closed"):
        store.session(an_envelope()).save(a_preference())


# --- one command, one effect


def test_a_repeated_command_has_one_effect_and_one_answer(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4(), b"body")
    first = bus.execute(PROPOSE, envelope)
    bus.execute(AnnotatePreference(first.id, Verdict.ACCEPTED), an_envelope())
    assert bus.execute(PROPOSE, envelope) == first
    assert names(store) == ["preference.proposed", "preference.annotated"]
    with pytest.raises(CommandReused):
        bus.execute(PROPOSE, replace(envelope, fingerprint=b"another body"))


def test_a_command_that_changed_nothing_is_remembered_under_its_clients_key(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4(), b"body")
    preference = bus.execute(PROPOSE, an_envelope()).id
    revise = RevisePreference(preference, chosen=PROPOSE.pair.chosen.messages[-1].content)
    with ThreadPoolExecutor(8) as threads:
        (first,) = set(threads.map(lambda _: bus.execute(revise, envelope), range(16)))
    bus.execute(RevisePreference(preference, chosen="somebody else's words"), an_envelope())
    assert bus.execute(revise, envelope) == first
    assert names(store) == ["preference.proposed", "preference.revised"]
    with pytest.raises(CommandReused):
        bus.execute(revise, replace(envelope, fingerprint=b"another body"))


@pytest.mark.parametrize("decided_first", [True, False])
def test_of_two_requests_under_one_key_only_the_first_has_an_effect_though_they_decide_differently(
    store: PostgresEventStore, decided_first: bool
) -> None:
    saved = a_preference()
    store.session(an_envelope()).save(saved)
    envelope = an_envelope(uuid4(), b"body")
    no_op, deciding = (store.session(envelope).get(Preference, saved.id) for _ in range(2))
    deciding.annotate(Verdict.FLIPPED, "", at=NOW)
    first, second = (deciding, no_op) if decided_first else (no_op, deciding)
    store.session(envelope).save(first)
    with pytest.raises(ConcurrentWrite):
        store.session(envelope).save(second)
    assert len(names(store)) == (2 if decided_first else 1)


def test_a_policys_command_that_changed_nothing_leaves_no_trace(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4())
    preference = bus.execute(PROPOSE, an_envelope()).id
    bus.execute(RevisePreference(preference, chosen=PROPOSE.pair.chosen.messages[-1].content), envelope)
    assert envelope.command_id
    assert store.outcome(envelope.command_id) is None


def test_one_command_sent_many_times_at_once_has_one_effect(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4())
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: bus.execute(PROPOSE, envelope), range(16)))
    assert len(answers) == len(names(store)) == 1


def test_of_two_who_change_one_aggregate_the_slower_fails_alone(store: PostgresEventStore, migrated: str) -> None:
    store.session(an_envelope()).save(a_preference())
    sessions = [store.session(an_envelope()) for _ in range(2)]
    loaded = [session.get(Preference, a_preference().id) for session in sessions]
    for preference in loaded:
        preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    sessions[0].save(loaded[0])
    with pytest.raises(ConcurrentWrite):
        sessions[1].save(loaded[1], a_workflow())
    store.session(an_envelope()).save(a_preference("another"))
    assert names(store) == ["preference.proposed", "preference.annotated", "preference.proposed"]
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT count(*) FROM event_salts").fetchone() == (3,)


@pytest.mark.parametrize("command_id", [uuid4(), None], ids=["with an id", "without an id"])
def test_a_reply_lost_at_commit_leaves_one_effect(
    external_postgres: ExternalPostgres, external_database: str, command_id: UUID | None
) -> None:
    """The library sends the save again and meets its own events: a conflict, but for the command's id."""
    with TrappingProxy(external_postgres.port) as proxy:
        through_proxy = external_database.replace(f":{external_postgres.port}/", f":{proxy.port}/")
        with closing(PostgresEventStore(through_proxy)) as store:
            bus = a_bus(store)
            preference = bus.execute(PROPOSE, an_envelope()).id
            proxy.arm()
            written = bus.execute(AnnotatePreference(preference, Verdict.FLIPPED), an_envelope(command_id))
            assert proxy.cuts == 1
            assert (written.id, written.version, written.position) == (preference, 2, store.head())
            assert names(store) == ["preference.proposed", "preference.annotated"]


# --- the order


def test_a_reader_misses_nothing_while_four_write(store: PostgresEventStore) -> None:
    bus, done = a_bus(store), Event()

    def write(_: int) -> None:
        for _ in range(60):
            bus.execute(PROPOSE, an_envelope())

    def tail() -> list[int]:
        seen: list[int] = []
        while True:
            last_round = done.is_set()
            seen += [row["notification_id"] for row in store.read_rows(after=seen[-1] if seen else 0)]
            if last_round:
                return seen

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(tail)
        list(threads.map(write, range(4)))
        done.set()
        seen = reader.result()
    assert len(seen) == 240
    assert seen == [row["notification_id"] for row in store.read_rows()]


def test_the_librarys_functions_that_skip_the_lock_are_refused(migrated: str) -> None:
    unsafe = PostgresDatastore("postgres", "127.0.0.1", "5432", "postgres", "-", enable_db_functions=True)
    with pytest.raises(UnsafePositions, match="unset it"):
        EnvelopeRecorder(unsafe)


def test_an_environment_that_asks_for_them_changes_nothing(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "yes")
    with closing(PostgresEventStore(migrated)) as store:
        assert not store.recorder.datastore.enable_db_functions


def test_whatever_the_url_says_reaches_the_server(migrated: str) -> None:
    url = f"{migrated}{'&' if '?' in migrated else '?'}application_name=atlas"
    with closing(PostgresEventStore(url, utc_now)) as store, store.recorder.datastore.get_connection() as connection:
        assert connection.execute("SHOW application_name").fetchone() == {"application_name": "atlas"}


def test_an_event_of_a_newer_version_stops_a_reader_but_not_a_reader_of_rows(
    store: PostgresEventStore, migrated: str
) -> None:
    store.session(an_envelope()).save(a_preference())
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE stored_events SET topic = 'preference.sung'")
    with pytest.raises(ValueError, match=r"preference\.sung"):
        list(store.read())
    (row,) = store.read_rows()
    assert json.loads(row["state"])["method"] == "bradley-terry/1"
