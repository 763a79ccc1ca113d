"""The migrations: what they make is what the code says, and they keep what a database holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from eventsourcing.domain import BaseAggregate
from psycopg.sql import SQL, Identifier, Placeholder
from sqlalchemy import create_engine, inspect

from adapters.event_store import PostgresEventStore
from adapters.schema import check, downgrade, upgrade
from projections import ALL, audit, interaction_log, rubrics, workflow_runs
from projections.engine import catch_up
from projections.projector import Projector
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


def test_what_a_model_asked_for_before_there_were_tools_has_its_reason_in_the_log(database: str):
    upgrade(database)
    shown_by(interaction_log.PROJECTOR, database, story.completed_run())
    downgrade(database, "0013")
    asked = '[{"name": "a", "result": "", "error": null}, {"name": "b", "result": "", "error": "no"}]'
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE interaction_logs SET tool_calls = %s", [asked])
    upgrade(database)
    shown = "SELECT DISTINCT tool_calls->0->>'error', tool_calls->1->>'error' FROM interaction_logs"
    assert rows(database, shown) == [("no tools were offered", "no")]
    downgrade(database, "0013")
    assert rows(database, shown) == [(None, "no")]


def test_which_criteria_of_a_rubric_compare_is_told_by_their_levels(database: str):
    upgrade(database)
    shown_by(rubrics.PROJECTOR, database, story.rubric())
    told = "SELECT version, criteria FROM rubrics ORDER BY version"
    before = rows(database, told)
    downgrade(database, "0023")
    assert "compares" not in str(rows(database, told))
    upgrade(database)
    assert rows(database, told) == before
    assert [criterion["compares"] for _, criteria in before for criterion in criteria] == [True, True]


def test_a_parked_event_that_is_gone_from_the_store_does_not_stop_the_migrations(database: str):
    upgrade(database, "0005")
    park(database, "workflow_runs")
    upgrade(database)
    assert rows(database, "SELECT projector FROM parked_events") == []


def shown_by(projector: Projector, database: str, aggregate: BaseAggregate[UUID]) -> None:
    """A part of the story, and the rows that it makes."""
    with store_of(database) as store:
        store.session(story.ENVELOPE).save(aggregate)
        engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        catch_up(engine, store, projector)
        engine.dispose()


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
