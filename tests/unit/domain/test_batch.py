"""The rules of a batch: every task has one run, never more than so many at once, and it ends when all of them did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.batch import MOST_CHARACTERS, MOST_TASKS, Batch, BatchState
from domain.errors import AlreadyDone, DomainError, Invalid
from domain.limits import NO_LIMITS, Limits
from domain.steps import Task
from domain.workflow import FELL_SHORT, FINISHED, State
from tests.builders import NOW, an_id, topics

ENDS = sorted(FINISHED)


def a_batch(tasks: int = 3, at_once: int | None = 2, turn: str = "Why?") -> Batch:
    return Batch.request(
        id=an_id("batch"),
        name="b",
        kind="mutual_ranking",
        tasks=tuple(Task((turn,)) for _ in range(tasks)),
        roster_revision=1,
        agents=("ada", "ben"),
        max_tokens=None,
        limits=NO_LIMITS,
        at_once=at_once,
        at=NOW,
    )


def fill(batch: Batch) -> None:
    """Asks for runs, as there is room."""
    while batch.has_room:
        batch.request_run(an_id(f"run {batch.requested}"), at=NOW)


def ended(batch: Batch, *states: State) -> Batch:
    """As many of its runs as there are states, each in one."""
    for number, state in enumerate(states):
        fill(batch)
        batch.note(an_id(f"run {number}"), state, at=NOW)
    batch.complete_if_done(at=NOW)
    return batch


def test_it_asks_for_no_more_runs_than_it_may_have_at_once() -> None:
    batch = a_batch(tasks=3, at_once=2)
    fill(batch)
    assert topics(batch) == ["requested", "run_requested", "run_requested"]
    with pytest.raises(AlreadyDone, match="no room"):
        batch.request_run(an_id("another"), at=NOW)
    batch.note(an_id("run 1"), State.COMPLETED, at=NOW)
    fill(batch)
    assert batch.unfinished == {an_id("run 0"): 0, an_id("run 2"): 2}


def test_without_a_bound_it_asks_for_all_of_them() -> None:
    batch = a_batch(tasks=5, at_once=None)
    fill(batch)
    assert len(batch.unfinished) == 5


def test_a_run_that_falls_short_ends_nothing_but_itself() -> None:
    batch = ended(a_batch(), State.FAILED, State.STOPPED, State.COMPLETED)
    (completed,) = [event for event in batch.pending_events if isinstance(event, Batch.Completed)]
    assert (completed.completed, completed.fell_short, completed.stopped) == (1, 1, 1)
    assert batch.state is BatchState.COMPLETED


def test_what_is_noted_twice_or_is_none_of_its_runs_changes_nothing() -> None:
    batch = ended(a_batch(), State.COMPLETED)
    before = topics(batch)
    batch.note(an_id("run 0"), State.COMPLETED, at=NOW)
    batch.note(an_id("a stranger"), State.COMPLETED, at=NOW)
    batch.note(an_id("run 1"), State.RUNNING, at=NOW)
    assert topics(batch) == before


def test_a_paused_batch_asks_for_nothing_and_may_still_come_to_its_end() -> None:
    batch = a_batch(tasks=3, at_once=2)
    fill(batch)
    batch.pause("lunch", at=NOW)
    batch.note(an_id("run 0"), State.COMPLETED, at=NOW)
    assert not batch.has_room
    with pytest.raises(AlreadyDone, match="paused already"):
        batch.pause("", at=NOW)
    batch.resume(at=NOW)
    fill(batch)
    batch.pause("again", at=NOW)
    for number in (1, 2):
        batch.note(an_id(f"run {number}"), State.COMPLETED, at=NOW)
    batch.complete_if_done(at=NOW)
    assert batch.state is BatchState.COMPLETED
    with pytest.raises(AlreadyDone, match="only a paused"):
        batch.resume(at=NOW)


def test_a_stop_names_the_runs_that_are_to_be_stopped_and_nothing_follows() -> None:
    batch = a_batch()
    fill(batch)
    batch.stop("enough", at=NOW)
    assert batch.pending_events[-1].runs == (an_id("run 0"), an_id("run 1"))  # type: ignore[attr-defined]
    assert not batch.has_room
    for number in (0, 1):
        batch.note(an_id(f"run {number}"), State.STOPPED, at=NOW)
    batch.complete_if_done(at=NOW)
    assert (batch.state, batch.stopped) == (BatchState.STOPPED, 2)
    for refused in (lambda: batch.stop("", at=NOW), lambda: batch.retry(None, "", at=NOW)):
        with pytest.raises(AlreadyDone, match="stopped"):
            refused()


def test_what_fell_short_is_taken_up_again_in_the_order_of_its_tasks_and_within_the_bound() -> None:
    batch = ended(a_batch(tasks=4), State.FAILED, State.TIMED_OUT, State.COMPLETED, State.EXHAUSTED)
    batch.retry(Limits(steps=9), "more", at=NOW)
    assert batch.again == (an_id("run 0"), an_id("run 1"), an_id("run 3"))
    while batch.has_room:
        batch.retry_run(batch.again[0], at=NOW)
    assert batch.unfinished.keys() == {an_id("run 0"), an_id("run 1")}
    batch.note(an_id("run 1"), State.COMPLETED, at=NOW)
    batch.pass_over(an_id("run 3"), "it has used them up too", at=NOW)
    batch.note(an_id("run 0"), State.FAILED, at=NOW)
    batch.complete_if_done(at=NOW)
    assert (batch.state, batch.completed, len(batch.fell_short)) == (BatchState.COMPLETED, 2, 2)


def test_a_run_that_somebody_retries_by_itself_opens_the_batch_again() -> None:
    batch = ended(a_batch(tasks=1), State.FAILED)
    batch.note(an_id("run 0"), State.RUNNING, at=NOW)
    assert (batch.state, len(batch.unfinished)) == (BatchState.RUNNING, 1)
    ended(batch, State.COMPLETED)
    assert topics(batch)[-3:] == ["run_retried", "run_ended", "completed"]


def test_a_run_that_was_retried_and_ended_before_anybody_looked_is_noted_as_it_ended() -> None:
    batch = ended(a_batch(tasks=1), State.FAILED)
    batch.note(an_id("run 0"), State.COMPLETED, at=NOW)
    assert (batch.completed, batch.fell_short) == (1, {})


def test_there_is_nothing_to_retry_where_nothing_fell_short() -> None:
    with pytest.raises(AlreadyDone, match="nothing to retry"):
        ended(a_batch(tasks=1), State.COMPLETED).retry(None, "", at=NOW)
    with pytest.raises(Invalid, match="above 0"):
        ended(a_batch(tasks=1), State.FAILED).retry(Limits(steps=0), "", at=NOW)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"tasks": 0}, "1 to 1,000 tasks, and these are 0"),
        ({"tasks": MOST_TASKS + 1}, "these are 1,001: make several"),
        ({"turn": "x" * MOST_CHARACTERS}, "1,000,000 characters together, and these have 3,000,000"),
        ({"turn": " "}, "task 0 needs at least one turn"),
        ({"at_once": 0}, "at_once must be at least 1"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        a_batch(**wrong)


class AnyBatch(RuleBasedStateMachine):
    """Whatever people and runs do, in whatever order it is heard of."""

    @initialize(tasks=st.integers(1, 6), at_once=st.none() | st.integers(1, 3))
    def somebody_asks(self, tasks: int, at_once: int | None) -> None:
        self.batch = a_batch(tasks, at_once)
        self.runs: dict[UUID, State] = {}
        self.go_on()

    def go_on(self) -> None:
        """As every command ends."""
        while self.batch.has_room:
            if self.batch.again:
                run = self.batch.again[0]
                if self.runs[run] not in FELL_SHORT:
                    self.batch.pass_over(run, "somebody was faster", at=NOW)
                    continue
                self.batch.retry_run(run, at=NOW)
            else:
                run = an_id(f"run {self.batch.requested}")
                assert run not in self.runs, "a task has one run"
                self.batch.request_run(run, at=NOW)
            self.runs[run] = State.RUNNING
        self.batch.complete_if_done(at=NOW)

    def attempt(self, command: Callable[[], None]) -> None:
        with suppress(DomainError):
            command()
        self.go_on()

    @rule(data=st.data(), state=st.sampled_from(ENDS))
    def a_run_ends(self, data: st.DataObject, state: State) -> None:
        going = [run for run, now in self.runs.items() if now not in FINISHED]
        if going:
            self.runs[data.draw(st.sampled_from(going))] = state

    @rule(data=st.data())
    def the_policy_hears_of_a_run(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.runs)))
        self.attempt(lambda: self.batch.note(run, self.runs[run], at=NOW))

    @rule()
    def somebody_pauses(self) -> None:
        self.attempt(lambda: self.batch.pause("", at=NOW))

    @rule()
    def somebody_resumes(self) -> None:
        self.attempt(lambda: self.batch.resume(at=NOW))

    @rule()
    def somebody_retries(self) -> None:
        self.attempt(lambda: self.batch.retry(None, "", at=NOW))

    @precondition(lambda self: len(self.runs) > 3)
    @rule()
    def somebody_stops(self) -> None:
        self.attempt(lambda: self.batch.stop("", at=NOW))

    @invariant()
    def never_more_than_so_many_are_unfinished(self) -> None:
        if self.batch.at_once is not None:
            assert len(self.batch.unfinished) <= self.batch.at_once

    @invariant()
    def every_task_has_one_run_at_most_and_is_counted_once(self) -> None:
        batch = self.batch
        assert batch.requested == len(self.runs) <= batch.size
        assert len(batch.unfinished) + len(batch.fell_short) + batch.completed + batch.stopped == len(self.runs)

    @invariant()
    def it_is_not_over_while_anything_is_left_to_do(self) -> None:
        if self.batch.state is BatchState.COMPLETED:
            assert not self.batch.unfinished
            assert self.batch.requested == self.batch.size

    @invariant()
    def it_is_the_same_when_replayed(self) -> None:
        replayed: Batch | None = None
        for event in self.batch.pending_events:
            replayed = event.mutate(replayed)  # type: ignore[attr-defined]
        names = ("state", "requested", "unfinished", "fell_short", "again", "new_limits", "completed", "stopped")
        for name in names:
            assert getattr(replayed, name) == getattr(self.batch, name), name

    def teardown(self) -> None:
        """Whatever happened, it comes to an end: once every run has, and the policy has heard of it."""
        batch = self.batch
        if batch.state is BatchState.PAUSED:
            self.somebody_resumes()
        while not batch.over:
            for run in list(self.runs):
                self.runs[run] = self.runs[run] if self.runs[run] in FINISHED else State.COMPLETED
                self.attempt(lambda run=run: batch.note(run, self.runs[run], at=NOW))


TestAnyBatch = AnyBatch.TestCase
