"""Read models that go on together: on one reading of the log, each with its own place, and none held up by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from eventsourcing.domain import BaseAggregate
from sqlalchemy import Engine, delete, text

from adapters.event_store import PostgresEventStore
from domain.events import Recorded
from projections import ALL, checkpoints, follower, interaction_log, workflow_runs
from projections.checkpoints import CHECKPOINTS
from projections.engine import catch_up, step
from projections.follower import Follower
from projections.parked import parked_events
from projections.projector import Projector, Row
from projections.rebuild import rebuild
from projections.status import status
from tests import story
from tests.integration.projections.read_models import checkpoint, folded, rows


def keep_up(follower: Follower) -> None:
    while follower.advance():
        pass
    follower.advance()


def tell(store: PostgresEventStore, aggregates: Sequence[BaseAggregate[UUID]]) -> None:
    for aggregate in aggregates:
        store.session(story.envelope(aggregate)).save(aggregate)


def assert_kept_up(engine: Engine, store: PostgresEventStore, projectors: tuple[Projector, ...] = ALL) -> None:
    for projector in projectors:
        assert checkpoint(engine, projector) == store.head()
        assert rows(engine, projector) == folded(store, projector)


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_the_tables_hold_what_the_folds_say_whatever_the_batch(
    batch: int, engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "BATCH", batch)
    keep_up(Follower(engine, told, ALL))
    assert_kept_up(engine, told)


def test_each_goes_on_from_its_own_place(engine: Engine, told: PostgresEventStore):
    for n, projector in enumerate(ALL):
        step(engine, told, projector, head=4 * n, size=500)
    keep_up(Follower(engine, told, ALL))
    assert_kept_up(engine, told)


def test_one_that_is_far_behind_comes_after_while_the_others_go_on(
    engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "BATCH", 5)
    for projector in ALL[1:]:
        catch_up(engine, told, projector)
    kept = Follower(engine, told, ALL)
    head = told.head()
    assert kept.advance()
    assert 0 < checkpoint(engine, ALL[0]) < head
    assert {checkpoint(engine, projector) for projector in ALL[1:]} == {head}
    keep_up(kept)
    assert_kept_up(engine, told)


def test_whom_somebody_else_has_taken_further_nobody_rests(engine: Engine, told: PostgresEventStore):
    one, other = Follower(engine, told, ALL), Follower(engine, told, ALL)
    other.advance()
    for name in list(other._places):
        other._places[name] = 0
    keep_up(one)
    other.advance()
    assert other._resting == {}
    assert_kept_up(engine, told)


def test_two_take_nothing_in_twice(engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follower, "BATCH", 4)
    one, other = Follower(engine, told, ALL), Follower(engine, told, ALL)
    while any([one.advance(), other.advance()]):
        pass
    assert_kept_up(engine, told)


def test_what_is_rebuilt_or_moved_by_somebody_else_is_found_where_it_is(engine: Engine, store: PostgresEventStore):
    first, rest = story.everything()[:1], story.everything()[1:]
    tell(store, first)
    kept = Follower(engine, store, ALL)
    keep_up(kept)
    tell(store, rest)
    rebuild(engine, store, interaction_log.PROJECTOR)
    catch_up(engine, store, ALL[-1])
    with engine.begin() as db:
        db.execute(delete(workflow_runs.TABLE))
        db.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.projector == workflow_runs.PROJECTOR.name))
    keep_up(kept)
    keep_up(kept)
    assert_kept_up(engine, store)


@pytest.mark.parametrize("batch", [5, 500])
def test_one_that_somebody_holds_is_passed_by_until_it_is_free(
    batch: int, engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "BATCH", batch)
    kept, held, others = Follower(engine, told, ALL), ALL[0], ALL[1:]
    with engine.begin() as db:
        checkpoints.places(db, [projector.name for projector in ALL])
    with engine.begin() as db:
        checkpoints.claim(db, held.name)
        for _ in range(told.head()):
            kept.advance()
        assert_kept_up(engine, told, others)
    kept._resting.clear()
    keep_up(kept)
    assert_kept_up(engine, told)


def test_one_whose_table_somebody_has_locked_stops_no_other(engine: Engine, told: PostgresEventStore):
    kept, locked, others = Follower(engine, told, ALL), ALL[0], ALL[1:]
    with engine.begin() as db:
        db.execute(text(f"LOCK TABLE {locked.name}"))
        kept.advance()
        assert_kept_up(engine, told, others)
        assert checkpoint(engine, locked) == 0
    kept._resting.clear()
    keep_up(kept)
    assert_kept_up(engine, told)


def test_what_a_crash_of_the_server_took_back_is_taken_in_again(engine: Engine, told: PostgresEventStore):
    kept = Follower(engine, told, ALL)
    keep_up(kept)
    for projector in (workflow_runs.PROJECTOR, interaction_log.PROJECTOR):
        with engine.begin() as db:
            db.execute(delete(projector.table))
            checkpoints.place(db, projector.name, 0)
    keep_up(kept)
    assert_kept_up(engine, told)


def test_an_event_that_cannot_be_decoded_is_parked_by_those_who_fold_it(engine: Engine, told: PostgresEventStore):
    with engine.begin() as db:
        db.execute(
            text("UPDATE stored_events SET state = '{\"no\": 1}' WHERE originator_id = :id AND originator_version = 2"),
            {"id": story.id_of("accepted")},
        )
    keep_up(Follower(engine, told, ALL))
    parked = {standing.name: standing.parked for standing in status(engine, told.head()) if standing.parked}
    assert parked == {"dpo_annotations": 1, "opinions": 1, "audit": 1}
    folded = {projector.name for projector in ALL}
    assert {standing.lag for standing in status(engine, told.head()) if standing.name in folded} == {0}


def test_a_row_that_the_database_refuses_is_parked_and_nobody_else_minds(engine: Engine, told: PostgresEventStore):
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        folded = workflow_runs.fold(row, recorded)
        return folded and folded | {"steps": 2**80}

    spoilt = replace(workflow_runs.PROJECTOR, fold=fold)
    keep_up(Follower(engine, told, (spoilt, *ALL[1:])))
    assert_kept_up(engine, told, ALL[1:])
    assert checkpoint(engine, spoilt) == told.head()
    with engine.connect() as db:
        assert parked_events(db, spoilt.name).items


def test_one_without_its_table_rests_and_stops_no_other(
    engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    kept = Follower(engine, told, ALL)
    with engine.begin() as db:
        workflow_runs.TABLE.drop(db)
    kept.advance()
    assert_kept_up(engine, told, ALL[1:])
    assert checkpoint(engine, workflow_runs.PROJECTOR) == 0
    with engine.begin() as db:
        workflow_runs.TABLE.create(db)
    kept._resting.clear()
    keep_up(kept)
    assert_kept_up(engine, told)
