"""The migrations: what they make is what the code says, and they keep what a database holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Placeholder
from sqlalchemy import create_engine, inspect

from adapters.event_store import PostgresEventStore
from adapters.schema import check, downgrade, upgrade
from projections import ALL, audit, workflow_runs
from projections.engine import catch_up
from tests import story


@pytest.fixture
def database(empty_database: str) -> str:
    """Which they migrate themselves."""
    return empty_database


@contextmanager
def store_of(database: str) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database)
    yield store
    store.close()


def tables(database: str) -> set[str]:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def test_the_migrations_make_what_the_code_says(database: str):
    upgrade(database)
    check(database)


def test_every_migration_can_be_undone_and_done_again(database: str):
    upgrade(database)
    downgrade(database, "base")
    assert tables(database) == {"alembic_version"}
    upgrade(database)
    check(database)


def test_read_models_come_to_a_database_that_is_full_of_events_and_go_without_touching_them(database: str):
    upgrade(database)
    with store_of(database) as store:
        for aggregate in story.everything():
            store.session(story.ENVELOPE).save(aggregate)
        before = list(store.read())
        downgrade(database, "0001")

        upgrade(database)
        engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        for projector in ALL:
            assert catch_up(engine, store, projector) == store.head()
        with engine.connect() as db:
            assert workflow_runs.counts(db)["completed"] == 1
        engine.dispose()

        downgrade(database, "0001")
        assert tables(database).isdisjoint(projector.name for projector in ALL)
        assert list(store.read()) == before


def test_every_salt_stays_with_its_event(database: str):
    upgrade(database)
    salts = "SELECT position, salt FROM event_salts ORDER BY position"
    with store_of(database) as store:
        store.session(story.ENVELOPE).save(story.completed_run(), story.stopped_run())
        before = rows(database, salts)
        assert [position for position, _ in before] == [recorded.position for recorded in store.read()]
    downgrade(database, "0009")
    assert rows(
        database,
        "SELECT DISTINCT sha256(salt || state) = commitment"
        " FROM stored_events JOIN event_salts USING (originator_id, originator_version)",
    ) == [(True,)]
    upgrade(database)
    assert rows(database, salts) == before


def test_a_read_model_that_went_and_came_back_begins_with_the_first_event(database: str):
    upgrade(database)
    with store_of(database) as store:
        store.session(story.ENVELOPE).save(story.stopped_run())
        engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        catch_up(engine, store, audit.PROJECTOR)
        park(database, "audit", "shadow.audit", aggregate_id=story.id_of("stopped run"))

        downgrade(database, "0007")
        upgrade(database)
        assert rows(database, "SELECT projector FROM parked_events") == []
        catch_up(engine, store, audit.PROJECTOR)
        assert rows(database, "SELECT position FROM audit ORDER BY position") == [(1,), (2,)]
        engine.dispose()


def test_a_parked_event_that_is_gone_from_the_store_does_not_stop_the_migrations(database: str):
    upgrade(database, "0005")
    park(database, "workflow_runs")
    upgrade(database)
    assert rows(database, "SELECT projector FROM parked_events") == []


def park(database: str, *projectors: str, **more: object) -> None:
    """An event that the store does not hold."""
    values = {"position": 7, "error": "unreadable", **more}
    statement = SQL("INSERT INTO parked_events (projector, {}) VALUES (%(projector)s, {})").format(
        SQL(", ").join(map(Identifier, values)), SQL(", ").join(map(Placeholder, values))
    )
    with psycopg.connect(database) as connection:
        for projector in projectors:
            connection.execute(statement, {"projector": projector, **values})


def rows(database: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()
