"""Whole databases of earlier revisions: brought to today's schema, read with today's code, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Engine, create_engine

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.relay import encoded, told
from adapters.schema import check, upgrade
from domain.catalogue import AGGREGATES, topics_of
from domain.dataset import Dataset
from domain.dataset_recipe import AS_BEFORE
from domain.dataset_rows import BEGINNING, TELLING, rows
from domain.events import event_id, topic_of
from projections import ALL, checkpoints, dpo_annotations
from projections.engine import catch_up
from projections.rebuild import rebuild
from tests import story
from tests.conftest import new_database
from tests.histories import FOLDER, files, load, save, schema_of
from tests.kept import NoHistory, altered


@dataclass(frozen=True, slots=True)
class History:
    """An earlier revision's database under today's schema."""

    url: str
    before: list[dict[str, Any]]
    """Its events, row by row, as they were when it was loaded."""

    store: PostgresEventStore
    engine: Engine

    def query(self, statement: LiteralString) -> list[dict[str, Any]]:
        return query(self.url, statement)


ROWS = "SELECT * FROM stored_events ORDER BY notification_id"
YOUNGER = {"job", "batch", "rubric", "evaluation"}
"""Aggregates that there were not yet when these databases were made."""


def query(url: str, statement: LiteralString) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as db:
        return db.execute(statement).fetchall()


@pytest.fixture(scope="module", params=files(), ids=lambda file: file.name.removesuffix(".sql.gz"))
def history(request: pytest.FixtureRequest, embedded_postgres: EmbeddedPostgres) -> Iterator[History]:
    with new_database(embedded_postgres) as url:
        load(request.param, url)
        before = query(url, ROWS)
        upgrade(url)
        store = PostgresEventStore(url)
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        yield History(url, before, store, engine)
        engine.dispose()
        store.close()


def test_its_schema_becomes_that_of_a_new_database(history: History, database: str):
    assert schema_of(history.url) == schema_of(database)
    check(history.url)


def test_its_events_are_as_they_were(history: History):
    now = history.query(ROWS)
    assert len(now) == len(history.before) > 100
    assert [{name: row[name] for name in before} for row, before in zip(now, history.before, strict=True)] == (
        history.before
    )


def test_every_event_can_be_read_and_fits_its_envelope(history: History):
    assert len(list(history.store.read())) == history.store.head()
    salted = "SELECT * FROM stored_events JOIN event_salts ON position = notification_id"
    found = history.query(salted)
    assert len(found) == len(history.before)
    for row in found:
        assert row["event_id"] == event_id(row["originator_id"], row["originator_version"])
        assert row["commitment"] == sha256(row["salt"] + row["state"]).digest()


def test_every_aggregate_is_loaded_at_its_last_version(history: History):
    ends = history.query(
        "SELECT originator_id AS id, max(originator_version) AS version, count(*) AS events,"
        " split_part(min(topic), '.', 1) AS kind FROM stored_events GROUP BY originator_id"
    )
    kinds = {topic_of(aggregate): aggregate for aggregate in AGGREGATES}
    assert {end["kind"] for end in ends} == set(kinds) - YOUNGER
    session = history.store.session(story.ENVELOPE)
    for end in ends:
        assert session.get(kinds[end["kind"]], end["id"]).version == end["version"] == end["events"]


def test_every_read_model_goes_on_from_where_it_was(history: History):
    for projector in ALL:
        assert catch_up(history.engine, history.store, projector) == history.store.head()
    with history.engine.connect() as db:
        assert [checkpoints.count_parked(db, projector.name) for projector in ALL] == [0] * len(ALL)


def test_every_read_model_is_rebuilt_with_nothing_parked(history: History):
    rebuilt = {projector.name: rebuild(history.engine, history.store, projector) for projector in ALL}
    assert {name: done.parked for name, done in rebuilt.items()} == dict.fromkeys(rebuilt, 0)
    assert {done.position for done in rebuilt.values()} == {history.store.head()}


def test_what_a_migration_writes_into_rows_is_what_a_rebuild_would(history: History):
    projector = dpo_annotations.PROJECTOR
    catch_up(history.engine, history.store, projector)
    assert rebuild(history.engine, history.store, projector).differing == 0


def test_every_dataset_comes_out_with_the_hash_that_it_was_built_with(history: History):
    built: dict[UUID, str] = {}
    again: dict[UUID, str] = {}
    for recorded in history.store.read(topics=topics_of(Dataset)):
        match recorded.event:
            case Dataset.Requested(originator_id=id, position=position, filter=filter, recipe=recipe):
                assert recipe == AS_BEFORE
                lives = history.store.lives(BEGINNING, position, TELLING)
                lines = [row.line(recipe.builder) for row in rows(lives, filter)]
                again[id] = sha256(b"".join(lines)).hexdigest()
            case Dataset.Built(originator_id=id, sha256=hash):
                built[id] = hash
    assert again == built
    assert len(set(built.values())) >= 2


def test_every_event_can_be_told_as_a_cloud_event(history: History):
    for row in history.query(ROWS):
        assert told(row).keys() & {"data", "dataref"}  # by reference where it is too large for a message
        assert encoded(told(row))


def test_new_events_come_after_the_old_ones(history: History):
    head = history.store.head()
    assert history.store.session(story.ENVELOPE).save(story.completed_run()).position > head


def test_what_is_saved_comes_back_row_by_row(database: str, empty_database: str, tmp_path: Path):
    store = PostgresEventStore(database)
    store.session(story.ENVELOPE).save(*story.preferences())
    store.close()
    save(database, tmp_path / "now.sql.gz")
    load(tmp_path / "now.sql.gz", empty_database)
    assert query(empty_database, ROWS) == query(database, ROWS) != []
    assert schema_of(empty_database) == schema_of(database)
    with pytest.raises(FileExistsError):
        save(database, tmp_path / "now.sql.gz")


def test_no_history_was_rewritten_or_removed():
    try:
        assert altered(FOLDER) == [], "restore them: databases like these are somebody's"
    except NoHistory as error:
        pytest.skip(str(error))
