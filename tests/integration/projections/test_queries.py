"""What is asked of the read models, on a real PostgreSQL that holds the whole story."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from adapters.event_store import PostgresEventStore
from domain.errors import Invalid, NotFound
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
from projections.engine import catch_up
from projections.lookups import PromotedAdapters, RosterRevisions, UnattendedWork
from projections.projector import Row
from tests import story
from tests.integration.projections.read_models import rows


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
        assert len({row["preference_id"] for row in by_id.items + rest.items}) == 8
        assert rest.next_cursor is None
        runs = workflow_runs.runs(db, limit=1)
        assert runs.next_cursor
        assert workflow_runs.runs(db, cursor=runs.next_cursor, limit=1).items != runs.items


def test_the_newest_is_what_was_recorded_last_whatever_the_clock_of_its_id_said(projected: Engine):
    with projected.connect() as db:
        for page, count in ((workflow_runs.runs(db), 7), (training_runs.runs(db), 3)):
            positions = [row["requested_position"] for row in page.items]
            assert len(positions) == count
            assert positions == sorted(positions, reverse=True)


def test_a_cursor_that_is_none_of_ours_is_refused(engine: Engine):
    for cursor in ("nonsense", "", "MTIzLDQ1", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"):
        with engine.connect() as db, pytest.raises(Invalid, match="cursor"):
            interaction_log.calls(db, cursor=cursor)


def test_the_interaction_log_can_be_searched(projected: Engine):
    with projected.connect() as db:
        for wanted, count in (
            (interaction_log.Filter(), 6),
            (interaction_log.Filter(agent="ada"), 5),
            (interaction_log.Filter(agent="ada", phase="score"), 2),
            (interaction_log.Filter(agent="ada", phase="tool"), 1),
            (interaction_log.Filter(tool="search"), 6),
            (interaction_log.Filter(tool="sear"), 0),
            (interaction_log.Filter(adapter="team@1", model="team", run_id=story.RUN), 3),
            (interaction_log.Filter(text="SOFT RAIN"), 1),
            (interaction_log.Filter(text='"rain".\n100%'), 5),
            (interaction_log.Filter(text="1_0%"), 0),
            (interaction_log.Filter(text="%"), 5),
            (interaction_log.Filter(text="content"), 0),
            (interaction_log.Filter(text='"role": "user"'), 0),
            (interaction_log.Filter(min_tokens=34), 5),
            (interaction_log.Filter(min_tokens=35), 0),
            (interaction_log.Filter(as_of=1), 0),
            (interaction_log.Filter(since=story.BEGINNING, until=story.BEGINNING), 0),
            (interaction_log.Filter(since=story.BEGINNING), 6),
        ):
            assert len(interaction_log.calls(db, wanted).items) == count, wanted


def test_runs_can_be_listed_by_what_they_are(projected: Engine):
    with projected.connect() as db:
        for wanted, count in (
            (workflow_runs.Filter(), 7),
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


def test_pairs_are_counted_by_how_they_stand(projected: Engine):
    with projected.connect() as db:
        counts = {"waiting": 2, "imported": 0, "disputed": 1, "settled": 3, "rejected": 1, "withdrawn": 1}
        assert dpo_annotations.counts(db) == counts
        assert dpo_annotations.counts(db, story.id_of("another run"))["settled"] == 0
        assert len(dpo_annotations.pairs(db, dpo_annotations.Filter(agent="ada", run_id=story.RUN)).items) == 8


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


def test_revisions_and_those_that_changed_an_agent_are_listed_the_newest_first(projected: Engine):
    with projected.connect() as db:
        assert [row["revision"] for row in agent_rosters.revisions(db).items] == [2, 1]
        latest = agent_rosters.latest(db)
        (joined,) = agent_rosters.history(db, "bob").items
        (began,) = agent_rosters.history(db, "ada").items
        assert agent_rosters.history(db, "nobody").items == []
    assert latest
    assert latest["reason"] == joined["reason"] == "bob joins"
    assert (began["revision"], began["before"], began["author"]) == (1, None, "ada")
