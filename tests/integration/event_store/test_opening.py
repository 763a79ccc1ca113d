"""What an event store is opened with, and what it does when it is closed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from eventsourcing.postgres import PostgresDatastore
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.event_recorder import EnvelopeRecorder, UnsafePositions
from adapters.event_store import PostgresEventStore, utc_now
from domain.events import Actor, ActorKind
from tests.builders import a_preference
from tests.fakes import an_envelope


def test_whatever_the_url_says_reaches_the_server(migrated: str) -> None:
    url = f"{migrated}{'&' if '?' in migrated else '?'}application_name=atlas"
    with closing(PostgresEventStore(url, utc_now)) as store, store.recorder.datastore.get_connection() as connection:
        assert connection.execute("SHOW application_name").fetchone() == {"application_name": "atlas"}


def test_what_the_url_leaves_out_comes_from_libpqs_environment(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in conninfo_to_dict(migrated).items():
        monkeypatch.setenv({"dbname": "PGDATABASE"}.get(name, f"PG{name.upper()}"), str(value))
    with closing(PostgresEventStore("postgresql://")) as store:
        assert store.head() == 0


@pytest.mark.parametrize("where", ["url", "environment", "service"])
def test_options_are_heeded_wherever_they_are(
    migrated: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    options, url = "-c work_mem=5MB", migrated
    match where:
        case "url":
            url = make_conninfo(migrated, options=options)
        case "environment":
            monkeypatch.setenv("PGOPTIONS", options)
        case _:
            (tmp_path / "services").write_text(f"[caravan]\noptions={options}\n")
            monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
            url = make_conninfo(migrated, service="caravan")
    with closing(PostgresEventStore(url)) as store, store.recorder.datastore.get_connection() as connection:
        assert connection.execute("SHOW work_mem").fetchone() == {"work_mem": "5MB"}


def test_a_page_of_a_log_without_statistics_is_not_sorted(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = (
        "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
        " SELECT gen_random_uuid(), 1, 'workflow.step_recorded', '{}' FROM generate_series(1, 20000)"
    )
    with store.recorder.datastore.get_connection() as connection:
        connection.execute("ALTER TABLE stored_events SET (autovacuum_enabled = off)")
        connection.execute(fill)
    execute = psycopg.Connection.execute

    def explain(connection: Any, query: Any, *given: Any, **how: Any) -> Any:
        if isinstance(query, sql.Composed):  # and not what the pool asks meanwhile
            query = sql.SQL("EXPLAIN {}").format(query)
        return execute(connection, query, *given, **how)

    monkeypatch.setattr(psycopg.Connection, "execute", explain)
    plan = str(list(store.read_rows(0, 20_000, ["workflow.step_recorded"], 1_000)))
    assert "Index Scan using stored_events_notification_id_idx" in plan
    assert "Sort" not in plan


def test_texts_are_utf8_whatever_the_environment_says(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    envelope = replace(an_envelope(), actor=Actor("zoë", ActorKind.HUMAN))
    with closing(PostgresEventStore(migrated)) as store:
        store.session(envelope).save(a_preference())
        (recorded,) = store.read()
    assert recorded.envelope.actor == envelope.actor
    with psycopg.connect(migrated, client_encoding="utf8") as db:
        assert db.execute("SELECT actor_subject FROM stored_events").fetchone() == ("zoë",)


def test_the_librarys_functions_that_skip_the_lock_are_refused(migrated: str) -> None:
    unsafe = PostgresDatastore("postgres", "127.0.0.1", "5432", "postgres", "-", enable_db_functions=True)
    with pytest.raises(UnsafePositions, match="unset it"):
        EnvelopeRecorder(unsafe)


def test_an_environment_that_asks_for_them_changes_nothing(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "yes")
    with closing(PostgresEventStore(migrated)) as store:
        assert not store.recorder.datastore.enable_db_functions


def test_a_closed_store_says_so(migrated: str) -> None:
    store = PostgresEventStore(migrated)
    store.close()
    with pytest.raises(OperationalError, match="closed"):
        store.session(an_envelope()).save(a_preference())


def test_a_server_that_is_slow_to_let_us_in_is_asked_again(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register, refusals = PostgresDatastore.register_type_adapters, iter([OperationalError("no connection in time")])

    def slow(datastore: PostgresDatastore) -> None:
        if refusal := next(refusals, None):
            raise refusal
        register(datastore)

    monkeypatch.setattr(PostgresDatastore, "register_type_adapters", slow)
    with closing(PostgresEventStore(migrated)) as store:
        assert store.head() == 0
