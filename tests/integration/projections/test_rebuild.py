"""Rebuilding read models on a real PostgreSQL: beside those in use, resumed, swapped, and as they once were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from adapters import schema
from adapters.event_store import PostgresEventStore
from domain.errors import Invalid
from projections import ALL, audit, dpo_annotations, interaction_log, workflow_runs
from projections import rebuild as rebuilding
from projections.as_of import build_as_of
from projections.engine import catch_up
from projections.projector import Row
from projections.rebuild import rebuild
from tests.builders import a_preference
from tests.fakes import an_envelope
from tests.integration.projections.read_models import checkpoint, folded, rows


def test_a_dropped_read_model_is_the_same_after_its_rebuild(engine: Engine, told: PostgresEventStore):
    for projector in ALL:
        catch_up(engine, told, projector)
        before = rows(engine, projector)
        with engine.begin() as db:
            projector.table.drop(db)
        heard: list[tuple[int, int]] = []
        rebuild(engine, told, projector, lambda done, total, heard=heard: heard.append((done, total)), batch=2)
        assert rows(engine, projector) == before
        assert heard[-1] == (told.head(), told.head())
        assert checkpoint(engine, projector) == told.head()


def test_readers_see_the_old_rows_until_a_rebuild_is_done(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    catch_up(engine, told, projector)
    before = rows(engine, projector)
    seen: list[dict[Any, Row]] = []
    rebuild(engine, told, projector, lambda done, total: seen.append(rows(engine, projector)), batch=2)
    assert len(seen) > 2
    assert all(now == before for now in seen)


def test_a_rebuild_that_dies_has_changed_nothing(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    catch_up(engine, told, projector)
    before = rows(engine, projector)

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(engine, told, projector, fail, batch=2)
    assert rows(engine, projector) == before
    assert checkpoint(engine, projector) == told.head()


def test_a_rebuild_that_was_interrupted_goes_on_where_it_was(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    catch_up(engine, told, projector)

    def interrupt(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(engine, told, projector, interrupt, batch=2)
    reached: list[int] = []
    rebuild(engine, told, projector, lambda done, total: reached.append(done), batch=2)
    assert reached[0] > 4
    assert rows(engine, projector) == folded(told, projector)


def test_a_rebuild_that_was_interrupted_with_all_rows_there_still_makes_every_index(
    engine: Engine, told: PostgresEventStore, database: str
):
    def interrupt(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(engine, told, interaction_log.PROJECTOR, interrupt)
    rebuild(engine, told, interaction_log.PROJECTOR)
    schema.check(database)


def test_a_rebuild_by_other_code_begins_anew(engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch):
    projector = workflow_runs.PROJECTOR
    catch_up(engine, told, projector)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(engine, told, projector, interrupt, batch=1000)
    monkeypatch.setattr(rebuilding, "fingerprint", lambda: "0" * 64)
    reached: list[int] = []
    rebuild(engine, told, projector, lambda done, total: reached.append(done), batch=2)
    assert reached[0] < told.head() // 2
    assert rows(engine, projector) == folded(told, projector)


def test_the_projector_goes_on_while_its_read_model_is_rebuilt(engine: Engine, told: PostgresEventStore):
    projector = dpo_annotations.PROJECTOR
    catch_up(engine, told, projector)

    def propose_another(done: int, total: int) -> None:
        if done < 20:
            told.session(an_envelope()).save(a_preference(f"while it is at {done}"))
        assert catch_up(engine, told, projector) == told.head()

    rebuilt = rebuild(engine, told, projector, propose_another, batch=5)
    assert (rebuilt.position, rebuilt.differing, rebuilt.parked) == (told.head(), 0, 0)
    assert rows(engine, projector) == folded(told, projector)
    assert checkpoint(engine, projector) == told.head()


def test_a_rebuild_ends_though_there_is_always_another_event(engine: Engine, told: PostgresEventStore):
    projector = dpo_annotations.PROJECTOR
    catch_up(engine, told, projector)
    heard: list[int] = []

    def propose_another(done: int, total: int) -> None:
        heard.append(done)
        assert len(heard) < 50, "it runs after the last event for ever"
        told.session(an_envelope()).save(a_preference(f"number {len(heard)}"))

    rebuilt = rebuild(engine, told, projector, propose_another, batch=5)
    catch_up(engine, told, projector)
    assert (rebuilt.differing, rebuilt.parked) == (0, 0)
    assert rows(engine, projector) == folded(told, projector)


def test_a_rebuild_says_how_many_rows_came_out_otherwise(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    catch_up(engine, told, projector)
    with engine.begin() as db:
        db.execute(update(projector.table).values(batch="wrong"))
    assert rebuild(engine, told, projector).differing == len(folded(told, projector))
    assert rebuild(engine, told, projector).differing == 0


def test_who_may_read_the_table_still_may_after_a_rebuild(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    with engine.begin() as db:
        db.execute(text("DROP ROLE IF EXISTS analyst"))
        db.execute(text("CREATE ROLE analyst"))
        db.execute(text("GRANT SELECT, UPDATE ON workflow_runs TO analyst"))
        db.execute(text("GRANT SELECT ON workflow_runs TO PUBLIC"))
    rebuild(engine, told, projector)
    with engine.begin() as db:
        granted = "SELECT has_table_privilege('analyst', 'workflow_runs', 'UPDATE'), relacl::text FROM pg_class"
        may, rights = db.execute(text(f"{granted} WHERE oid = 'workflow_runs'::regclass")).one()
        db.execute(text("DROP OWNED BY analyst"))
        db.execute(text("DROP ROLE analyst"))
    assert may
    assert "analyst=rw/" in rights
    assert ",=r/" in rights


def test_a_rebuild_that_would_lose_somebodys_view_says_so_before_it_begins(engine: Engine, told: PostgresEventStore):
    with engine.begin() as db:
        db.execute(text("CREATE VIEW busy AS SELECT * FROM workflow_runs WHERE state = 'running'"))
    with pytest.raises(Invalid, match="busy would be lost with the old workflow_runs"):
        rebuild(engine, told, workflow_runs.PROJECTOR)


@pytest.mark.parametrize("schema_", ["public", "shadow", "as_of_1; DROP TABLE x", "as_of_"])
def test_the_past_goes_into_no_schema_that_may_hold_something_else(
    schema_: str, engine: Engine, told: PostgresEventStore
):
    with pytest.raises(Invalid, match="as_of_"):
        build_as_of(engine, told, ALL, 1, schema_)


def test_a_rebuilt_table_is_the_one_that_a_migration_makes(engine: Engine, told: PostgresEventStore, database: str):
    for projector in ALL:
        rebuild(engine, told, projector)
    schema.check(database)


def test_a_rebuilt_table_can_be_read_by_plan_and_by_its_indexes_alone(engine: Engine, told: PostgresEventStore):
    rebuild(engine, told, audit.PROJECTOR)
    known = text("SELECT reltuples, relallvisible FROM pg_class WHERE oid = 'audit'::regclass")
    with engine.connect() as db:
        rows, visible_pages = db.execute(known).one()
        assert rows == told.head()
        assert visible_pages > 0
        assert db.scalar(text("SELECT count(*) FROM pg_stats WHERE tablename = 'audit' AND attname = 'agent'")) == 1


def test_two_rebuilds_at_once_take_turns(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda _: rebuild(engine, told, projector, batch=1), range(2)))
    assert [one.position for one in done] == [told.head()] * 2
    assert rows(engine, projector) == folded(told, projector)


def test_every_read_model_can_be_seen_as_it_was_at_each_position(engine: Engine, told: PostgresEventStore):
    for position in range(0, told.head() + 1, 7):
        assert build_as_of(engine, told, ALL, position, "as_of_then", batch=3) == 0
        for projector in ALL:
            past = projector.in_schema("as_of_then")
            assert rows(engine, past) == folded(told, projector, upto=position)
