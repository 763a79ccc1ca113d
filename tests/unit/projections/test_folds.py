"""Each read model's rows, folded from the story without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import Recorded
from projections import (
    ALL,
    agent_rosters,
    audit,
    ballots,
    datasets,
    dpo_annotations,
    interaction_log,
    lora_adapters,
    training_metrics,
    training_runs,
    workflow_runs,
)
from projections.engine import fold_all
from projections.projector import Projector, Row
from tests import story

STORY = list(story.recorded(story.events()))


def read_by(projector: Projector) -> list[Recorded]:
    return [recorded for recorded in STORY if recorded.type in projector.topics]


def folded(projector: Projector, events: list[Recorded] | None = None) -> dict[Any, Row]:
    rows, failed = fold_all(projector, {}, read_by(projector) if events is None else events)
    assert failed == []
    return rows


@pytest.mark.parametrize("projector", ALL, ids=lambda projector: projector.name)
def test_a_fold_fills_the_columns_of_its_table_and_no_others(projector: Projector):
    rows = folded(projector)
    assert rows
    for row in rows.values():
        assert set(row) == set(projector.table.columns.keys())
        must = {column.name for column in projector.table.columns if not column.nullable}
        assert {name for name, value in row.items() if value is None}.isdisjoint(must)


@pytest.mark.parametrize("projector", ALL, ids=lambda projector: projector.name)
@given(data=st.data())
def test_it_does_not_matter_where_one_batch_ends_and_the_next_begins(projector: Projector, data: st.DataObject):
    events = read_by(projector)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=5)))
    rows: dict[Any, Row] = {}
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        changed, _ = fold_all(projector, rows, events[start:end])
        rows |= changed
    assert rows == folded(projector)


@pytest.mark.parametrize("projector", ALL, ids=lambda projector: projector.name)
def test_without_its_beginning_an_aggregate_has_no_row(projector: Projector):
    begun = {recorded.event.originator_id for recorded in STORY if recorded.event.originator_version == 1}
    later = [recorded for recorded in read_by(projector) if recorded.event.originator_version > 1]
    assert begun
    once = {interaction_log.TABLE, ballots.TABLE, training_metrics.TABLE, agent_rosters.TABLE, lora_adapters.TABLE}
    once.add(audit.TABLE)
    assert bool(folded(projector, later)) == (projector.table in once)


@pytest.mark.parametrize("projector", ALL, ids=lambda projector: projector.name)
def test_a_row_names_the_position_of_its_last_event(projector: Projector):
    last = {projector.key(recorded): recorded.position for recorded in read_by(projector)}
    assert {key: row["position"] for key, row in folded(projector).items()} == last


def test_a_run_counts_its_steps_ballots_and_tokens_and_knows_who_has_it():
    run = folded(workflow_runs.PROJECTOR)[story.RUN]
    assert (run["state"], run["worker"], run["epoch"]) == ("completed", "worker-2", 2)
    assert (run["steps"], run["ballots"], run["unparseable"]) == (3, 2, 1)
    assert (run["input_tokens"], run["output_tokens"]) == (63, 39)
    assert (run["task"], run["turns"], run["agents"]) == ("Write a haiku about rain.", 2, ["ada", "bob"])
    assert run["cast"] == [{"agent": "ada", "adapter": "team@1"}, {"agent": "bob", "adapter": None}]
    assert run["requested_at"] < run["started_at"] < run["finished_at"]


def test_a_run_that_ended_badly_says_why():
    runs = folded(workflow_runs.PROJECTOR)
    failed, stopped = runs[story.id_of("failed run")], runs[story.id_of("stopped run")]
    assert (failed["state"], failed["reason"]) == ("failed", "the model is gone")
    assert (stopped["state"], stopped["reason"], stopped["worker"]) == ("stopped", "changed my mind", None)


def test_the_log_keeps_a_call_as_it_was():
    row = folded(interaction_log.PROJECTOR)[story.STEPS["ada"]]
    assert (row["run_id"], row["agent"], row["phase"], row["n"]) == (story.RUN, "ada", "answer", 0)
    assert row["messages"][0] == {"role": "system", "content": "You are a poet."}
    assert row["tool_calls"][0]["name"] == "search"
    assert (row["input_tokens"], row["output_tokens"], row["adapter"]) == (21, 13, "team@1")


def test_a_ballot_keeps_what_its_judge_was_shown_first():
    row = folded(ballots.PROJECTOR)[story.BALLOTS[1]]
    assert (row["first"], row["second"]) == (story.STEPS["bob"], story.STEPS["ada"])
    assert (row["judge"], row["outcome"], row["margin"]) == ("bob", "unparseable", None)


@pytest.mark.parametrize(
    ("name", "state", "verdict", "weight"),
    [
        ("waiting", "waiting", None, 0.5),
        ("accepted", "settled", "accepted", 1.0),
        ("flipped", "settled", "flipped", 1.0),
        ("edited", "settled", "edited", 1.0),
        ("rejected", "rejected", "rejected", 1.0),
        ("withdrawn", "withdrawn", None, 0.5),
    ],
)
def test_a_pair_stands_as_its_last_verdict_leaves_it(name: str, state: str, verdict: str | None, weight: float):
    row = folded(dpo_annotations.PROJECTOR)[story.id_of(name)]
    assert (row["state"], row["verdict"], row["weight"]) == (state, verdict, weight)
    assert row["annotated_by"] == ("ada" if verdict else None)


def test_a_flip_swaps_texts_agents_and_steps():
    row = folded(dpo_annotations.PROJECTOR)[story.id_of("flipped")]
    assert row["chosen"] == [{"role": "assistant", "content": "It rains."}]
    assert (row["chosen_agent"], row["chosen_step"]) == ("bob", story.STEPS["bob"])


def test_a_dataset_is_requested_then_built():
    events = read_by(datasets.PROJECTOR)
    requested = folded(datasets.PROJECTOR, events[:1])[story.id_of("dataset")]
    built = folded(datasets.PROJECTOR)[story.id_of("dataset")]
    assert (requested["state"], requested["sha256"], requested["as_of"]) == ("requested", None, 30)
    assert (built["state"], built["sha256"], built["pairs"], built["size"]) == ("built", story.SHA, 3, 4096)


def test_a_training_shows_its_last_step_and_what_came_out():
    row = folded(training_runs.PROJECTOR)[story.id_of("completed training")]
    assert (row["state"], row["step"], row["total_steps"], row["margin"]) == ("completed", 2, 2, 0.8)
    assert (row["loss_before"], row["loss_after"], row["adapter_name"]) == (0.69, 0.41, "team@1")
    assert [row["loss"] for row in folded(training_metrics.PROJECTOR).values()] == [0.69, 0.41]


def test_an_adapter_remembers_its_last_promotion():
    names = {row["name"]: row for row in folded(lora_adapters.PROJECTOR).values()}
    assert (names["team@1"]["state"], names["team@2"]["state"]) == ("promoted", "retired")
    assert names["team@1"]["promoted_position"] < names["team@2"]["promoted_position"]
    assert names["team@2"]["reason"] == "worse after all"


def test_the_audit_knows_of_each_event_who_did_it_and_with_what():
    rows = list(folded(audit.PROJECTOR).values())
    assert [row["position"] for row in rows] == [recorded.position for recorded in STORY]
    by_type = {row["type"]: row for row in rows}
    used = {name: by_type["workflow.step_recorded"][name] for name in ("agent", "tools", "model", "adapter")}
    assert used == {"agent": "ada", "tools": ["search"], "model": "team", "adapter": "team@1"}
    assert by_type["workflow.ballot_cast"]["agent"] == "bob"
    trained = by_type["training_run.completed"]
    assert (trained["model"], trained["adapter"]) == ("smollm2-135m-instruct", "team@1")
    assert {row["adapter"] for row in rows if row["type"].startswith("lora_adapter")} == {"team@1", "team@2"}
    assert (by_type["dataset.built"]["actor"], by_type["dataset.built"]["actor_kind"]) == ("ada", "human")


def test_every_revision_of_the_roster_has_its_row():
    rows = folded(agent_rosters.PROJECTOR)
    assert [rows[n]["reason"] for n in (1, 2)] == ["the first", "bob joins"]
    assert rows[2]["agents"][1]["tools"] == ["search"]
    assert (rows[2]["author"], rows[2]["author_kind"]) == ("ada", "human")
