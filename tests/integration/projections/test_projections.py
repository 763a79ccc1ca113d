"""The projection engine on a real PostgreSQL: right after crashes, twice at once, past poison, and rebuilt."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select, text

from adapters.event_store import PostgresEventStore
from domain.errors import Invalid, NotFound
from domain.events import Recorded
from projections import (
    ALL,
    agent_rosters,
    ballots,
    dpo_annotations,
    interaction_log,
    lora_adapters,
    training_metrics,
    training_runs,
    workflow_runs,
)
from projections.checkpoints import PARKED_EVENTS
from projections.engine import catch_up
from projections.lookups import PromotedAdapters, RosterRevisions, UnattendedWork
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
    assert "ValidationError" in parked["error"]


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
    assert len(rows(engine, buggy)) == 5
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


@pytest.mark.parametrize("poison", ["NUL \x00", "a lone surrogate \ud800"])
def test_a_row_that_the_database_refuses_is_parked_alone(poison: str, engine: Engine, told: PostgresEventStore):
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
    assert wait_for(engine, ["workflow_runs"], head, timeout=10)


@pytest.fixture
def projected(engine: Engine, told: PostgresEventStore) -> Engine:
    for projector in ALL:
        catch_up(engine, told, projector)
    return engine


def test_pages_give_every_row_once_and_the_newest_first(projected: Engine):
    seen: list[Row] = []
    cursor = None
    with projected.connect() as db:
        while True:
            page = interaction_log.calls(db, cursor=cursor, limit=2)
            seen += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        positions = [row["position"] for row in seen]
        assert positions == sorted(positions, reverse=True)
        assert {row["step_id"] for row in seen} == rows(projected, interaction_log.PROJECTOR).keys()
        by_id = dpo_annotations.pairs(db, limit=4)
        rest = dpo_annotations.pairs(db, cursor=by_id.next_cursor, limit=4)
        assert len({row["preference_id"] for row in by_id.items + rest.items}) == 6
        assert rest.next_cursor is None
        runs = workflow_runs.runs(db, limit=1)
        assert runs.next_cursor
        assert workflow_runs.runs(db, cursor=runs.next_cursor, limit=1).items != runs.items


def test_the_newest_is_what_was_recorded_last_whatever_the_clock_of_its_id_said(projected: Engine):
    with projected.connect() as db:
        for page in (workflow_runs.runs(db), training_runs.runs(db)):
            positions = [row["requested_position"] for row in page.items]
            assert len(positions) == 3
            assert positions == sorted(positions, reverse=True)


def test_a_cursor_that_is_none_of_ours_is_refused(engine: Engine):
    for cursor in ("nonsense", "", "MTIzLDQ1", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"):
        with engine.connect() as db, pytest.raises(Invalid, match="cursor"):
            interaction_log.calls(db, cursor=cursor)


def test_the_interaction_log_can_be_searched(projected: Engine):
    with projected.connect() as db:
        for wanted, count in (
            (interaction_log.Filter(), 3),
            (interaction_log.Filter(agent="ada"), 2),
            (interaction_log.Filter(agent="ada", phase="score"), 1),
            (interaction_log.Filter(tool="search"), 3),
            (interaction_log.Filter(tool="sear"), 0),
            (interaction_log.Filter(adapter="team@1", model="team", run_id=story.RUN), 3),
            (interaction_log.Filter(text="SOFT RAIN"), 1),
            (interaction_log.Filter(text='"rain".\n100%'), 3),
            (interaction_log.Filter(text="1_0%"), 0),
            (interaction_log.Filter(text="%"), 3),
            (interaction_log.Filter(text="content"), 0),
            (interaction_log.Filter(text='"role": "user"'), 0),
            (interaction_log.Filter(min_tokens=34), 3),
            (interaction_log.Filter(min_tokens=35), 0),
            (interaction_log.Filter(as_of=1), 0),
            (interaction_log.Filter(since=story.BEGINNING, until=story.BEGINNING), 0),
            (interaction_log.Filter(since=story.BEGINNING), 3),
        ):
            assert len(interaction_log.calls(db, wanted).items) == count, wanted


def test_runs_can_be_listed_by_what_they_are(projected: Engine):
    with projected.connect() as db:
        for wanted, count in (
            (workflow_runs.Filter(), 3),
            (workflow_runs.Filter(state=workflow_runs.State.FAILED), 1),
            (workflow_runs.Filter(agent="bob", batch="first", kind="mutual_ranking"), 3),
            (workflow_runs.Filter(agent="nobody"), 0),
            (workflow_runs.Filter(since=story.BEGINNING, until=story.BEGINNING), 0),
        ):
            assert len(workflow_runs.runs(db, wanted).items) == count
        assert workflow_runs.counts(db, "first")["stopped"] == 1
        assert workflow_runs.find(db, story.RUN)
        assert len(ballots.of_run(db, story.RUN)) == 2
        assert [row["step"] for row in training_metrics.of_run(db, story.id_of("completed training"))] == [1, 2]


def test_the_queue_holds_what_nobody_has_settled_the_oldest_first(projected: Engine):
    with projected.connect() as db:
        assert [row["preference_id"] for row in dpo_annotations.queue(db).items] == [story.id_of("waiting")]
        assert dpo_annotations.counts(db) == {"waiting": 1, "settled": 3, "rejected": 1, "withdrawn": 1}
        assert dpo_annotations.counts(db, story.id_of("another run"))["settled"] == 0
        assert len(dpo_annotations.pairs(db, dpo_annotations.Filter(agent="ada", run_id=story.RUN)).items) == 6


def test_an_alias_means_what_was_promoted_last_and_not_retired(engine: Engine, store: PostgresEventStore):
    first, second = story.adapter(1), story.adapter(2)
    adapters = PromotedAdapters(engine, store)
    session = store.session(story.ENVELOPE)
    session.save(first)
    assert adapters.promoted("team") is None
    for adapter, act, means in (
        (first, "promote", "team@1"),
        (second, "promote", "team@2"),
        (first, "promote", "team@1"),
        (first, "retire", "team@2"),
        (second, "retire", None),
    ):
        getattr(adapter, act)("because", at=story.at(60))
        session.save(adapter)
        assert adapters.promoted("team") == means
        with engine.connect() as db:
            in_use = {row["name"] for row in lora_adapters.adapters(db, "team").items if row["in_use"]}
        assert in_use == ({means} if means else set())


def test_a_revision_is_known_as_soon_as_it_is_written(told: PostgresEventStore):
    rosters = RosterRevisions(told)
    assert [agent.name for agent in rosters.agents(1)] == ["ada"]
    assert [agent.name for agent in rosters.agents(2)] == ["ada", "bob"]
    with pytest.raises(NotFound, match="revision 3"):
        rosters.agents(3)


class Living:
    """The Workers port: these are alive."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def alive(self, worker: str) -> bool:
        return worker in self._names


def test_work_that_nobody_does_is_found_at_once(engine: Engine, store: PostgresEventStore):
    session = store.session(story.ENVELOPE)
    run, training = story.stopped_run(), story.cancelled_training()
    requested = type(run).request(story.id_of("new"), "mutual_ranking", story.TASK, 1, (), "", None, at=story.at(0))
    running = type(run).request(story.id_of("taken"), "mutual_ranking", story.TASK, 1, (), "", None, at=story.at(0))
    running.start("worker-1", story.CAST, at=story.at(1))
    session.save(run, training, requested, running)
    idle, gone = UnattendedWork(engine, store, Living("worker-1")), UnattendedWork(engine, store, Living())
    assert idle.runs_without_worker() == [requested.id]
    assert set(gone.runs_without_worker()) == {requested.id, running.id}
    assert gone.trainings_without_worker() == []


def test_revisions_are_listed_the_newest_first(projected: Engine):
    with projected.connect() as db:
        assert [row["revision"] for row in agent_rosters.revisions(db).items] == [2, 1]
        latest = agent_rosters.latest(db)
    assert latest
    assert latest["reason"] == "bob joins"
