"""Each read model's rows, folded from the story without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.dataset_recipe import Filter
from domain.dataset_rows import rows
from domain.events import Recorded
from domain.pair import Verdict
from projections import (
    ALL,
    agent_rosters,
    audit,
    ballots,
    batch_runs,
    datasets,
    dpo_annotations,
    evaluations,
    interaction_log,
    lora_adapters,
    opinions,
    rubrics,
    training_metrics,
    training_runs,
    workflow_runs,
)
from projections.engine import fold_all
from projections.projector import Projector, Row
from tests import story
from tests.builders import CAST, NOW, a_preference, a_workflow, lives, recorded

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
    once |= {audit.TABLE, batch_runs.TABLE, opinions.TABLE, rubrics.TABLE}
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


def test_the_log_keeps_the_use_of_a_tool_beside_the_calls():
    run = story.id_of("retried run")
    (row,) = (row for row in folded(interaction_log.PROJECTOR).values() if row["phase"] == "tool")
    assert (row["run_id"], row["agent"], row["n"], row["model"]) == (run, "ada", 0, None)
    assert (row["error"], row["latency"], row["tool_calls"][0]["name"]) == ("no answer within 60 s", 60.0, "search")
    assert folded(workflow_runs.PROJECTOR)[run]["steps"] == 2


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
        ("taken back", "waiting", None, 0.5),
    ],
)
def test_a_pair_stands_as_its_last_verdict_leaves_it(name: str, state: str, verdict: str | None, weight: float):
    row = folded(dpo_annotations.PROJECTOR)[story.id_of(name)]
    assert (row["state"], row["verdict"], row["weight"]) == (state, verdict, weight)
    assert row["annotated_by"] == ("ada" if verdict else None)


def test_a_disputed_pair_stands_as_it_was_proposed_and_comes_first():
    rows = folded(dpo_annotations.PROJECTOR)
    row = rows[story.id_of("disputed")]
    assert (row["state"], row["verdict"], row["spoken_by"], row["wanted"]) == ("disputed", None, ["ada", "ben"], 2)
    assert (row["chosen_agent"], row["weight"], row["assigned_to"]) == ("ada", 0.5, [])
    assert row["urgency"] == max(each["urgency"] for each in rows.values())


def test_who_skipped_a_pair_and_who_took_their_word_back_is_known():
    row = folded(dpo_annotations.PROJECTOR)[story.id_of("taken back")]
    assert (row["skipped_by"], row["spoken_by"], row["annotated_at"]) == (["cyd"], [], None)
    said = [each for each in folded(opinions.PROJECTOR).values() if each["preference_id"] == row["preference_id"]]
    assert [(each["verdict"], each["undone"]) for each in said] == [
        *(("flipped", False), ("accepted", False), ("flipped", True), (None, True))
    ]
    assert {each["chosen_step"] for each in said} == {story.STEPS["ada"]}


def test_a_word_that_names_nobody_is_not_of_whoever_takes_theirs_back():
    preference = a_preference()
    preference.annotate(Verdict.FLIPPED, "", NOW)
    preference.annotate(Verdict.ACCEPTED, "", NOW, "ada")
    preference.undo("ada", "", NOW)
    log = recorded(preference.collect_events())  # type: ignore[arg-type]
    (row,) = folded(dpo_annotations.PROJECTOR, log).values()
    assert (row["verdict"], row["annotated_by"], row["spoken_by"]) == ("flipped", None, [])
    (of_dataset,) = rows(lives(log), Filter())
    assert (of_dataset.verdict, of_dataset.annotator) == (Verdict.FLIPPED, None)


def test_a_word_that_is_the_last_again_is_not_of_the_moment_of_the_undo():
    def left_by(undoer: str) -> tuple[Any, ...]:
        preference = a_preference()
        for name in ("ada", "ben"):
            preference.annotate(Verdict.ACCEPTED, f"{name}'s", NOW, name)
        preference.undo(undoer, "", NOW)
        (row,) = folded(dpo_annotations.PROJECTOR, recorded(preference.collect_events())).values()  # type: ignore[arg-type]
        return tuple(row[name] for name in ("annotated_by", "annotator_kind", "annotated_at", "note"))

    assert left_by("ben") == ("ada", None, None, None)
    assert left_by("ada") == ("ben", "human", NOW, "ben's")


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
    assert (names["team@3"]["state"], names["team@3"]["reason"]) == ("rolled_back", "it says too much")


def test_an_evaluation_shows_what_is_compared_and_what_came_out():
    rows = folded(evaluations.PROJECTOR)
    completed, failed = (rows[story.id_of(f"{how} evaluation")] for how in ("completed", "failed"))
    assert (completed["adapter"], completed["against"], completed["part"]) == ("team@3", "base", "test")
    assert (completed["state"], completed["figures"]["win_rate"]["low"]) == ("completed", 0.5)
    assert completed["items_file"] == {"sha256": story.SHA, "size": 4096}
    assert (failed["state"], failed["figures"], failed["reason"][:6]) == ("failed", None, "all 4 ")


def test_the_audit_knows_of_each_event_who_did_it_and_with_what():
    rows = list(folded(audit.PROJECTOR).values())
    assert [row["position"] for row in rows] == [recorded.position for recorded in STORY]
    by_type = {row["type"]: row for row in rows}
    used = {name: by_type["workflow.step_recorded"][name] for name in ("agent", "tools", "model", "adapter")}
    assert used == {"agent": "ada", "tools": ["search"], "model": "team", "adapter": "team@1"}
    assert by_type["workflow.ballot_cast"]["agent"] == "bob"
    trained = by_type["training_run.completed"]
    assert (trained["model"], trained["adapter"]) == ("smollm2-135m-instruct", "team@1")
    assert {row["adapter"] for row in rows if row["type"].startswith("lora_adapter")} == {
        *("team@1", "team@2", "team@3"),
    }
    assert (by_type["dataset.built"]["actor"], by_type["dataset.built"]["actor_kind"]) == ("ada", "human")


def test_every_revision_of_the_roster_has_its_row():
    rows = folded(agent_rosters.PROJECTOR)
    assert [rows[n]["reason"] for n in (1, 2)] == ["the first", "bob joins"]
    assert rows[2]["agents"][1]["tools"] == ["search"]
    assert (rows[2]["author"], rows[2]["author_kind"]) == ("ada", "human")


def test_a_run_counts_who_took_it_from_the_dead_and_how_often_it_fell_short_over_its_retries() -> None:
    run = a_workflow()
    run.start("worker-1", CAST, at=NOW)
    run.start("worker-2", CAST, at=NOW)
    run.release(2, "the worker stops", at=NOW)
    run.start("worker-3", CAST, at=NOW)
    run.fail(3, "tiny (embedded) did not answer for 180 s: is it up?", at=NOW)
    run.retry(None, "", at=NOW)
    run.start("worker-3", CAST, at=NOW)
    run.fail(4, "KeyError: 'a'", at=NOW)
    row = None
    for each in recorded(run.collect_events()):
        row = workflow_runs.fold(row, each)
    assert row is not None
    assert (row["takeovers"], row["failures"]) == (1, {"model": 1, "KeyError": 1})
