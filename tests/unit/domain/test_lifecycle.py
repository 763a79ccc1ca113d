"""A run is paused, resumed, let go of, limited and retried."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost
from domain.limits import NO_LIMITS, Limit, LimitReached, Limits
from domain.steps import Step, Task, step_id
from domain.workflow import FELL_SHORT, RunPaused, State, Workflow
from tests.builders import CAST, NOW, RUN, a_call, a_step, topics


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_run(limits: Limits = NO_LIMITS) -> Workflow:
    """Started, in its first epoch."""
    run = Workflow.request(
        RUN, "mutual_ranking", Task(("Which city?",)), 1, ("ada", "ben"), "", None, at=NOW, limits=limits
    )
    run.start("worker-1", CAST, at=NOW)
    return run


def begin(run: Workflow, n: int = 0, at: datetime = NOW) -> None:
    run.begin_step(run.epoch, "ada", "answer", n, at=at)


def record(run: Workflow, n: int = 0) -> None:
    run.record_step(run.epoch, a_step("ada", "answer", n), at=NOW)


class TestAPausedRun:
    def test_begins_nothing_and_does_not_end(self) -> None:
        run = a_run()
        run.pause("a deployment", at=NOW)
        refused: list[Callable[[], None]] = [
            lambda: begin(run),
            lambda: run.complete(1, at=NOW),
            lambda: run.fail(1, "", at=NOW),
            lambda: run.end_at(1, Limit.STEP_SECONDS, None, at=NOW),
            lambda: run.start("worker-2", CAST, at=NOW),
            lambda: run.pause("again", at=NOW),
        ]
        for act in refused:
            with pytest.raises(RunPaused):
                act()
        assert topics(run)[2:] == ["paused"]

    def test_still_keeps_what_was_under_way(self) -> None:
        run = a_run()
        begin(run)
        run.pause("", at=NOW)
        record(run)
        assert topics(run)[2:] == ["step_begun", "paused", "step_recorded"]
        assert not run.under_way

    def test_waits_for_a_worker_once_it_was_let_go_and_resumed(self) -> None:
        run = a_run()
        run.pause("", at=NOW)
        run.release(1, "it is paused", at=NOW)
        assert run.state is State.PAUSED
        run.resume(at=NOW)
        assert (run.state, run.worker) == (State.REQUESTED, "")
        run.start("worker-2", (), at=NOW)
        assert (run.state, run.epoch, run.cast) == (State.RUNNING, 2, CAST)

    def test_goes_on_with_its_worker_where_that_has_not_let_go_yet(self) -> None:
        run = a_run()
        begin(run)
        run.pause("", at=NOW)
        run.resume(at=NOW)
        assert (run.state, run.worker) == (State.RUNNING, "worker-1")
        record(run)

    def test_can_be_stopped(self) -> None:
        run = a_run()
        run.pause("", at=NOW)
        run.stop("not wanted", at=NOW)
        with pytest.raises(AlreadyDone):
            run.resume(at=NOW)

    def test_can_be_one_that_nobody_took_yet(self) -> None:
        run = Workflow.request(RUN, "mutual_ranking", Task(("Hi",)), 1, ("ada",), "", None, at=NOW)
        run.pause("", at=NOW)
        run.resume(at=NOW)
        assert run.state is State.REQUESTED

    def test_alone_can_be_resumed(self) -> None:
        with pytest.raises(AlreadyDone, match="the run is running; only a paused run can be resumed"):
            a_run().resume(at=NOW)


class TestARunLetGo:
    def test_is_nobodys_even_in_the_same_epoch(self) -> None:
        run = a_run()
        run.release(1, "the worker stops", at=NOW)
        assert (run.state, run.worker) == (State.REQUESTED, "")
        with pytest.raises(LeaseLost, match="epoch 1 of the run was let go"):
            record(run)

    def test_says_which_calls_are_made_again(self) -> None:
        run = a_run()
        begin(run, 0)
        begin(run, 1)
        record(run, 1)
        run.start("worker-2", CAST, at=NOW)
        begin(run, 0)
        begin(run, 2)
        begun = [event for event in run.pending_events if isinstance(event, Workflow.StepBegun)]
        assert [(event.n, event.epoch, event.attempt) for event in begun] == [
            (0, 1, 1),
            (1, 1, 1),
            (0, 2, 2),
            (2, 2, 1),
        ]


class TestLimits:
    @pytest.mark.parametrize(
        "nothing", [Limits(tokens=0), Limits(steps=-1), Limits(seconds=0), Limits(step_seconds=-1)]
    )
    def test_that_allow_nothing_are_refused(self, nothing: Limits) -> None:
        with pytest.raises(Invalid, match="must be above 0"):
            a_run(nothing)

    @given(allowed=st.integers(1, 6), done=st.integers(0, 6), under_way=st.integers(0, 6))
    def test_of_steps_count_those_under_way_too(self, allowed: int, done: int, under_way: int) -> None:
        run = a_run(Limits(steps=allowed))
        for n in range(done + under_way):
            if n < allowed:
                begin(run, n)
            else:
                with pytest.raises(LimitReached, match=f"steps {allowed}"):
                    begin(run, n)
            if n < min(done, allowed):
                record(run, n)

    def test_of_tokens_let_the_call_end_that_uses_them_up(self) -> None:
        run = a_run(Limits(tokens=20))
        for n in range(2):
            begin(run, n)
            record(run, n)
        with pytest.raises(LimitReached, match="tokens 20"):
            begin(run, 2)
        run.end_at(1, Limit.TOKENS, None, at=NOW)
        ended = run.pending_events[-1]
        assert isinstance(ended, Workflow.Exhausted)
        assert (ended.limit, ended.allowed, ended.used, run.state) == (Limit.TOKENS, 20, 30, State.EXHAUSTED)

    def test_of_time_do_not_count_pauses_or_the_wait_for_a_worker(self) -> None:
        run = Workflow.request(RUN, "k", Task(("Hi",)), 1, ("ada",), "", None, at=NOW, limits=Limits(seconds=60))
        assert run.seconds_left(later(100)) == 60
        run.start("worker-1", CAST, at=later(100))
        run.pause("", at=later(130))
        run.resume(at=later(1000))
        assert run.seconds_left(later(1010)) == 20
        begin(run, at=later(1029))
        with pytest.raises(LimitReached, match="seconds 60"):
            begin(run, 1, at=later(1030))

    def test_of_time_go_on_over_a_takeover(self) -> None:
        run = a_run(Limits(seconds=60))
        run.start("worker-2", CAST, at=later(50))
        assert run.seconds_left(later(55)) == 5

    def test_name_the_step_that_took_too_long(self) -> None:
        run, step = a_run(Limits(step_seconds=5)), step_id(RUN, "ada", "answer", 0)
        begin(run)
        run.end_at(1, Limit.STEP_SECONDS, step, at=later(6))
        ended = run.pending_events[-1]
        assert isinstance(ended, Workflow.TimedOut)
        assert (ended.limit, ended.allowed, ended.step, run.state) == (Limit.STEP_SECONDS, 5, step, State.TIMED_OUT)

    def test_of_steps_forget_the_calls_of_a_worker_that_was_lost(self) -> None:
        run = a_run(Limits(steps=2))
        begin(run, 0)
        begin(run, 1)
        run.start("worker-2", CAST, at=NOW)
        begin(run, 2)
        record(run, 2)
        begin(run, 0)
        assert run.attempt_at(step_id(RUN, "ada", "answer", 1)) == 2
        with pytest.raises(LimitReached):
            begin(run, 1)


class TestARetry:
    def test_keeps_what_is_recorded_and_gives_the_run_its_time_anew(self) -> None:
        run = a_run(Limits(seconds=60))
        begin(run)
        record(run)
        run.end_at(1, Limit.SECONDS, None, at=later(60))
        run.retry(None, "once more", at=later(500))
        run.start("worker-2", (), at=later(600))
        assert run.seconds_left(later(600)) == 60
        begin(run, 0, at=later(600))
        assert topics(run)[-2:] == ["retried", "started"]

    def test_needs_limits_that_are_not_reached_already(self) -> None:
        run = a_run(Limits(steps=1))
        begin(run)
        record(run)
        run.end_at(1, Limit.STEPS, None, at=NOW)
        with pytest.raises(Invalid, match=r"limit: steps 1, as it has used 15 tokens in 1 steps: allow it more"):
            run.retry(None, "", at=NOW)
        run.retry(Limits(steps=2), "", at=NOW)
        assert (run.state, run.limits) == (State.REQUESTED, Limits(steps=2))

    @pytest.mark.parametrize(
        "end",
        [
            lambda run: run.stop("", at=NOW),
            lambda run: run.complete(1, at=NOW),
            lambda run: run.pause("", at=NOW),
            lambda run: None,
        ],
    )
    def test_is_for_runs_that_fell_short(self, end: Callable[[Workflow], None]) -> None:
        run = a_run()
        end(run)
        with pytest.raises(AlreadyDone, match="only one that failed or reached a limit can be retried"):
            run.retry(None, "", at=NOW)


class AnyLife(RuleBasedStateMachine):
    """Whatever workers and people ask, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.run = a_run(Limits(steps=4))
        self.epochs = 1

    def attempt(self, act: Callable[[], None]) -> None:
        with suppress(DomainError):
            act()

    @rule(epoch_behind=st.integers(0, 1), n=st.integers(0, 5))
    def a_worker_begins(self, epoch_behind: int, n: int) -> None:
        self.attempt(lambda: self.run.begin_step(self.run.epoch - epoch_behind, "ada", "answer", n, at=NOW))

    @rule(epoch_behind=st.integers(0, 1), n=st.integers(0, 5))
    def a_worker_records(self, epoch_behind: int, n: int) -> None:
        epoch, step = self.run.epoch - epoch_behind, step_id(RUN, "ada", "answer", n)
        if step in self.run.under_way:
            self.attempt(lambda: self.run.record_step(epoch, Step(step, "ada", "answer", n, a_call()), at=NOW))

    @rule()
    def a_worker_takes_it(self) -> None:
        self.attempt(lambda: self.run.start("worker", CAST, at=NOW))

    @rule()
    def the_worker_lets_go(self) -> None:
        self.attempt(lambda: self.run.release(self.run.epoch, "", at=NOW))

    @rule()
    def somebody_pauses(self) -> None:
        self.attempt(lambda: self.run.pause("", at=NOW))

    @rule()
    def somebody_resumes(self) -> None:
        self.attempt(lambda: self.run.resume(at=NOW))

    @rule(limit=st.sampled_from([Limit.STEPS, Limit.STEP_SECONDS]))
    def it_reaches_a_limit(self, limit: Limit) -> None:
        self.attempt(lambda: self.run.end_at(self.run.epoch, limit, None, at=NOW))

    @precondition(lambda self: self.run.state in FELL_SHORT)
    @rule()
    def somebody_retries(self) -> None:
        self.attempt(lambda: self.run.retry(Limits(steps=4, step_seconds=1), "", at=NOW))

    @invariant()
    def it_is_the_same_when_replayed(self) -> None:
        replayed, run = Workflow.after(self.run.pending_events), self.run
        for name in (
            "state",
            "worker",
            "epoch",
            "steps",
            "under_way",
            "lost",
            "limits",
            "rested",
            "paused_at",
            "began_at",
        ):
            assert getattr(replayed, name) == getattr(run, name), name

    @invariant()
    def it_never_exceeds_its_steps(self) -> None:
        assert len(self.run.steps) <= 4

    @invariant()
    def a_running_run_has_a_worker_and_a_requested_one_has_none(self) -> None:
        if self.run.state in (State.RUNNING, State.REQUESTED):
            assert bool(self.run.worker) == (self.run.state is State.RUNNING)


TestAnyLife = AnyLife.TestCase
