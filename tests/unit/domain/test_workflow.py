"""A run: who holds it, what it keeps, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost
from domain.limits import Limit
from domain.ranking import Outcome
from domain.steps import CastMember, Step, Task, step_id
from domain.workflow import State, Workflow
from domain.workforce import Report, Told
from tests.builders import (
    CAST,
    NOW,
    RUN,
    a_ballot,
    a_started_workflow,
    a_step,
    a_workflow,
    an_id,
    topics,
)

ENDINGS: list[Callable[[Workflow], None]] = [
    lambda run: run.complete(run.epoch, at=NOW),
    lambda run: run.fail(run.epoch, "the model is gone", at=NOW),
    lambda run: run.end_at(run.epoch, Limit.SECONDS, None, at=NOW),
    lambda run: run.end_at(run.epoch, Limit.STEPS, None, at=NOW),
    lambda run: run.stop("enough", at=NOW),
]
HOLDERS_WORK: list[Callable[[Workflow, int], None]] = [
    lambda run, epoch: run.begin_step(epoch, "ada", "answer", 0, at=NOW),
    lambda run, epoch: run.record_step(epoch, a_step(), at=NOW),
    lambda run, epoch: run.cast_ballot(epoch, a_ballot(a_step("ada").id, a_step("ben").id), at=NOW),
    lambda run, epoch: run.report(epoch, 0, Report(Told.TASK_CREATED, "0"), at=NOW),
    lambda run, epoch: run.complete(epoch, at=NOW),
    lambda run, epoch: run.fail(epoch, "", at=NOW),
    lambda run, epoch: run.end_at(epoch, Limit.SECONDS, None, at=NOW),
    lambda run, epoch: run.release(epoch, "", at=NOW),
]


def test_a_run_goes_from_request_to_completion_and_counts_what_it_kept() -> None:
    run = a_workflow()
    run.start("worker-1", CAST, at=NOW)
    ada, ben = a_step("ada"), a_step("ben")
    run.record_step(1, ada, at=NOW)
    run.record_step(1, ben, at=NOW)
    run.cast_ballot(1, a_ballot(ada.id, ben.id), at=NOW)
    run.cast_ballot(1, a_ballot(ben.id, ada.id, Outcome.UNPARSEABLE, name="other order"), at=NOW)
    run.complete(1, at=NOW)

    assert topics(run) == ["requested", "started", *["step_recorded"] * 2, *["ballot_cast"] * 2, "completed"]
    completed = run.pending_events[-1]
    assert isinstance(completed, Workflow.Completed)
    assert (completed.steps, completed.ballots, completed.unparseable) == (2, 2, 1)
    assert run.tokens == 30
    assert run.state is State.COMPLETED


@pytest.mark.parametrize("turns", [(), ("",), ("Which city?", "  \n")])
def test_a_task_without_words_is_refused(turns: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        a_workflow(turns=turns)


def test_an_agent_cannot_take_part_twice() -> None:
    with pytest.raises(Invalid):
        a_workflow(agents=("ada", "ben", "ada"))


def test_answers_of_no_tokens_are_refused() -> None:
    with pytest.raises(Invalid):
        Workflow.request(RUN, "mutual_ranking", Task(("Hi",)), 1, ("ada",), batch="", max_tokens=0, at=NOW)


@given(st.lists(st.sampled_from([a_step(agent, "answer", n) for agent in ("ada", "ben") for n in (0, 1)])))
def test_steps_recorded_twice_change_nothing(steps: list[Step]) -> None:
    run = a_started_workflow()
    for step in steps:
        run.record_step(1, step, at=NOW)
    assert topics(run).count("step_recorded") == len(set(steps)) == len(run.steps)


def test_what_a_workforce_tells_again_changes_nothing_and_what_comes_before_its_turn_is_refused() -> None:
    run = a_started_workflow()
    for n in (0, 0, 1, 0, 1):
        run.report(1, n, Report(Told.TASK_CREATED, "0"), at=NOW)
    assert topics(run).count("workforce_reported") == 2
    with pytest.raises(Invalid, match="report 3 comes before report 2"):
        run.report(1, 3, Report(Told.TASK_CREATED, "0"), at=NOW)


def test_what_a_model_asked_for_before_there_were_tools_is_not_wanted_now() -> None:
    asked = {"name": "search", "arguments": "{}", "result": "", "error": None, "id": ""}
    used = asked | {"result": "wet"}
    old = {"epoch": 1, "step": {"id": "0", "call": {"tool_calls": [asked, used]}}}
    call = Workflow.StepRecorded.upcast_v2_v3(old)["step"]["call"]
    assert call["tool_calls"] == [asked | {"error": "no tools were offered"}, used]


def test_a_ballot_cast_twice_changes_nothing() -> None:
    run = a_started_workflow()
    ada, ben = a_step("ada"), a_step("ben")
    for step in (ada, ben):
        run.record_step(1, step, at=NOW)
    for _ in range(2):
        run.cast_ballot(1, a_ballot(ada.id, ben.id), at=NOW)
    assert topics(run).count("ballot_cast") == 1


def test_a_ballot_on_an_answer_that_the_run_does_not_know_is_refused() -> None:
    run = a_started_workflow()
    run.record_step(1, a_step("ada"), at=NOW)
    with pytest.raises(Invalid):
        run.cast_ballot(1, a_ballot(a_step("ada").id, an_id("nobody's answer")), at=NOW)


def test_a_run_taken_over_keeps_its_cast_and_its_steps() -> None:
    run = a_started_workflow()
    run.record_step(1, a_step(), at=NOW)
    run.start("worker-2", (CastMember("ada", "team@2"),), at=NOW)
    run.record_step(2, a_step(), at=NOW)
    assert (run.worker, run.epoch, run.cast) == ("worker-2", 2, CAST)
    assert topics(run) == ["requested", "started", "step_recorded", "started"]


@given(takeovers=st.integers(1, 4), stale=st.integers(0, 5), work=st.sampled_from(HOLDERS_WORK))
def test_a_stale_epoch_always_loses(takeovers: int, stale: int, work: Callable[[Workflow, int], None]) -> None:
    run = a_started_workflow()
    for n in range(takeovers):
        run.start(f"worker-{n}", CAST, at=NOW)
    before = topics(run)
    if stale != run.epoch:
        with pytest.raises(LeaseLost):
            work(run, stale)
        assert topics(run) == before


@pytest.mark.parametrize("end", ENDINGS)
def test_a_finished_run_stays_as_it_is(end: Callable[[Workflow], None]) -> None:
    run = a_started_workflow()
    end(run)
    before = topics(run)
    assert run.finished
    with pytest.raises(AlreadyDone):
        run.start("worker-2", CAST, at=NOW)
    with pytest.raises(AlreadyDone):
        run.stop("again", at=NOW)
    for work in HOLDERS_WORK:
        with pytest.raises(AlreadyDone):
            work(run, run.epoch)
    assert topics(run) == before


def test_a_run_that_nobody_started_can_be_stopped_but_not_worked_on() -> None:
    run = a_workflow()
    with pytest.raises(DomainError):
        run.record_step(0, a_step(), at=NOW)
    run.stop("not wanted any more", at=NOW)
    assert topics(run) == ["requested", "stopped"]


def test_a_steps_id_follows_from_its_place() -> None:
    assert step_id(RUN, "ada", "answer", 0) == a_step("ada", "answer", 0).id
    places = [(agent, phase, n) for agent in ("ada", "ben") for phase in ("answer", "score") for n in (0, 1)]
    assert len({step_id(RUN, *place) for place in places}) == len(places)
