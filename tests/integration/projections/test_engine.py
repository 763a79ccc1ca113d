"""The projection engine on a real PostgreSQL: right after crashes, twice at once, and past poison."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text

from adapters.event_store import PostgresEventStore
from domain.events import Recorded
from projections import (
    ALL,
    dpo_annotations,
    interaction_log,
    workflow_runs,
)
from projections import engine as taking_in
from projections import rows as writing
from projections.checkpoints import PARKED_EVENTS
from projections.engine import catch_up
from projections.parked import parked_events, retry_parked, skip_parked
from projections.projector import Row
from projections.rebuild import rebuild
from projections.status import status, wait_for
from tests import story
from tests.integration.projections.read_models import folded, rows


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_the_tables_hold_what_the_folds_say_whatever_the_batch(batch: int, engine: Engine, told: PostgresEventStore):
    for projector in ALL:
        assert catch_up(engine, told, projector, batch) == told.head()
        assert rows(engine, projector) == folded(told, projector)


def test_rows_too_big_for_one_statement_are_written_in_several(
    engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writing, "MOST_BYTES", 1000)
    catch_up(engine, told, interaction_log.PROJECTOR)
    assert rows(engine, interaction_log.PROJECTOR) == folded(told, interaction_log.PROJECTOR)


def test_an_event_that_cannot_be_decoded_is_parked_and_the_rest_goes_on(engine: Engine, told: PostgresEventStore):
    projector = dpo_annotations.PROJECTOR
    with engine.begin() as db:
        db.execute(
            text("UPDATE stored_events SET state = '{\"no\": 1}' WHERE originator_id = :id AND originator_version = 2"),
            {"id": story.id_of("accepted")},
        )
    catch_up(engine, told, projector)
    found = rows(engine, projector)
    assert found[story.id_of("accepted")]["state"] == "waiting"
    assert found[story.id_of("flipped")]["state"] == "settled"
    (standing,) = [each for each in status(engine, told.head()) if each.name == projector.name]
    assert (standing.parked, standing.lag) == (1, 0)
    with engine.connect() as db:
        (parked,) = parked_events(db, projector.name).items
    assert parked["topic"] == "preference.annotated"
    assert "this is no preference.annotated" in parked["error"]


def test_an_event_that_cannot_be_folded_is_parked_and_tried_again_by_a_rebuild(
    engine: Engine, told: PostgresEventStore
):
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        if recorded.event.originator_id == story.id_of("flipped"):
            raise ZeroDivisionError("a bug")
        return dpo_annotations.fold(row, recorded)

    buggy = replace(dpo_annotations.PROJECTOR, fold=fold)
    catch_up(engine, told, buggy)
    assert story.id_of("flipped") not in rows(engine, buggy)
    assert len(rows(engine, buggy)) == 7
    with engine.connect() as db:
        assert db.execute(select(func.count()).select_from(PARKED_EVENTS)).scalar_one() == 2

    rebuild(engine, told, dpo_annotations.PROJECTOR)
    assert rows(engine, buggy) == folded(told, dpo_annotations.PROJECTOR)
    with engine.connect() as db:
        assert db.execute(select(func.count()).select_from(PARKED_EVENTS)).scalar_one() == 0


def test_a_parked_event_that_is_tried_again_takes_its_place_before_those_that_followed_it(
    engine: Engine, told: PostgresEventStore
):
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        if recorded.event.originator_id == story.id_of("flipped") and recorded.event.originator_version == 1:
            raise ZeroDivisionError("a bug")
        return dpo_annotations.fold(row, recorded)

    projector = dpo_annotations.PROJECTOR
    buggy = replace(projector, fold=fold)
    catch_up(engine, told, buggy)
    assert rows(engine, projector) != folded(told, projector)
    assert retry_parked(engine, told, buggy) > 0
    assert retry_parked(engine, told, projector) == 0
    assert rows(engine, projector) == folded(told, projector)


@pytest.mark.parametrize(
    "mend",
    [
        lambda engine, store, position: retry_parked(engine, store, dpo_annotations.PROJECTOR),
        lambda engine, store, position: skip_parked(engine, dpo_annotations.PROJECTOR, position),
        lambda engine, store, position: rebuild(engine, store, dpo_annotations.PROJECTOR),
    ],
    ids=["retry", "skip", "rebuild"],
)
def test_a_row_is_stale_until_the_parked_event_of_its_aggregate_is_mended(
    mend: Callable[[Engine, PostgresEventStore, int], object], engine: Engine, told: PostgresEventStore
):
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        if recorded.event.originator_id == story.id_of("flipped") and recorded.event.originator_version == 2:
            raise ZeroDivisionError("a bug")
        return dpo_annotations.fold(row, recorded)

    def stale() -> set[UUID]:
        with engine.connect() as db:
            return {row["preference_id"] for row in dpo_annotations.pairs(db).items if row["stale"]}

    def counted() -> int:
        (standing,) = [one for one in status(engine, told.head()) if one.name == dpo_annotations.PROJECTOR.name]
        return standing.stale

    catch_up(engine, told, replace(dpo_annotations.PROJECTOR, fold=fold))
    with engine.connect() as db:
        (parked,) = parked_events(db, dpo_annotations.PROJECTOR.name).items
    assert stale() == {parked["aggregate_id"]} == {story.id_of("flipped")}
    assert counted() == 1

    mend(engine, told, parked["position"])
    assert stale() == set()
    assert counted() == 0


def test_a_parked_event_can_be_let_be(engine: Engine, told: PostgresEventStore):
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        raise ZeroDivisionError("a bug")

    buggy = replace(dpo_annotations.PROJECTOR, fold=fold)
    catch_up(engine, told, buggy)
    with engine.connect() as db:
        first, *rest = parked_events(db, buggy.name).items
    assert skip_parked(engine, buggy, first["position"])
    assert not skip_parked(engine, buggy, first["position"])
    with engine.connect() as db:
        assert [row["position"] for row in parked_events(db, buggy.name).items] == [row["position"] for row in rest]


@pytest.mark.parametrize(
    "poison",
    ["NUL \x00", "a lone surrogate \ud800", "".join(map(chr, range(0x4E00, 0x7E00)))],
    ids=["NUL", "surrogate", "too long for an index"],
)
@pytest.mark.parametrize("many", [1, 100], ids=["copied", "as JSON"])
def test_a_row_that_the_database_refuses_is_parked_alone(
    many: int, poison: str, engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(taking_in, "MANY", many)
    with engine.begin() as db:
        db.execute(text("CREATE INDEX ON interaction_logs (output)"))
    culprit = story.STEPS["bob"]

    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        row = interaction_log.fold(row, recorded)
        return row | {"output": poison} if row and row["step_id"] == culprit else row

    projector = replace(interaction_log.PROJECTOR, fold=fold)
    assert catch_up(engine, told, projector) == told.head()
    assert rows(engine, projector).keys() == folded(told, projector).keys() - {culprit}
    with engine.connect() as db:
        assert len(parked_events(db, projector.name).items) == 1


def test_a_missing_table_is_an_error_and_not_a_reason_to_park_everything(engine: Engine, told: PostgresEventStore):
    with engine.begin() as db:
        workflow_runs.TABLE.drop(db)
    with pytest.raises(Exception, match="workflow_runs"):
        catch_up(engine, told, workflow_runs.PROJECTOR)
    assert status(engine, told.head())[0].parked == 0
    assert status(engine, told.head())[0].lag == told.head()


def test_two_engines_at_once_take_every_event_in_once(engine: Engine, told: PostgresEventStore):
    projector = workflow_runs.PROJECTOR
    failures: list[Exception] = []

    def work() -> None:
        try:
            catch_up(engine, told, projector, batch=1)
        except Exception as error:
            failures.append(error)

    engines = [threading.Thread(target=work) for _ in range(4)]
    for each in engines:
        each.start()
    for each in engines:
        each.join()
    assert failures == []
    assert rows(engine, projector) == folded(told, projector)


@pytest.mark.parametrize("moment", ["fold", "move"])
def test_killed_in_the_middle_of_a_transaction_rows_and_checkpoint_agree(
    moment: str, engine: Engine, database: str, told: PostgresEventStore
):
    arguments = [sys.executable, "-m", "tests.integration.projection_that_hangs", database, moment]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
    assert rows(engine, workflow_runs.PROJECTOR) == {}
    assert status(engine, told.head())[0].checkpoint == 0
    catch_up(engine, told, workflow_runs.PROJECTOR)
    assert rows(engine, workflow_runs.PROJECTOR) == folded(told, workflow_runs.PROJECTOR)


def test_who_waits_for_a_position_reads_his_own_write(engine: Engine, told: PostgresEventStore):
    head = told.head()
    assert not wait_for(engine, ["workflow_runs"], head, timeout=0.05)
    threading.Timer(0.1, catch_up, (engine, told, workflow_runs.PROJECTOR)).start()
    assert wait_for(engine, ["workflow_runs"], head, timeout=60)
