"""Connections that rested are asked whether they are sound; those that worked a moment ago are not."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from adapters import pings
from adapters.event_store import PostgresEventStore
from adapters.pings import REST_SECONDS, Rested
from gateway.bootstrap import open_engine

KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


class Connection:
    """Stands for one."""


def test_a_connection_rests_once_it_was_not_taken_for_a_while():
    now = 100.0
    rested = Rested(now=lambda: now)
    one, other = Connection(), Connection()
    assert rested(one)
    now += REST_SECONDS / 2
    assert not rested(one)
    assert rested(other)
    now += REST_SECONDS * 1.1
    assert rested(one)


def test_after_a_rest_nobody_notices_that_the_connections_were_cut(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pings, "REST_SECONDS", 0.0)
    store, engine = PostgresEventStore(database), open_engine(database)
    with engine.connect() as db:
        db.execute(text("SELECT 1"))
    store.head()
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(KILL)
    assert store.head() == 0
    with engine.connect() as db:
        assert db.execute(text("SELECT 1")).scalar() == 1
    store.close()
    engine.dispose()
