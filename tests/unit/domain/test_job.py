"""What may happen to a job: it is tried as often as its policy allows, by one worker at a time, to one end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost
from domain.job import Job, JobState, NotDue, RetryPolicy
from tests.builders import NOW, a_job, topics


def later(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def a_started_job() -> Job:
    job = a_job()
    job.start("worker-1", at=NOW)
    return job


def a_dead_job() -> Job:
    job = a_started_job()
    job.fail(1, "broken", permanent=True, chance=1, at=NOW)
    return job


def test_a_job_is_started_and_succeeds() -> None:
    job = a_started_job()
    job.succeed(1, {"found": 3}, at=NOW)
    assert topics(job) == ["requested", "started", "succeeded"]
    assert (job.state, job.finished) == (JobState.SUCCEEDED, True)


def test_a_job_does_not_start_before_its_time() -> None:
    job = a_job(due_at=NOW + later(60))
    with pytest.raises(NotDue):
        job.start("worker-1", at=NOW + later(59))
    job.start("worker-1", at=NOW + later(60))


def test_a_job_that_failed_rests_twice_as_long_each_time_up_to_the_longest() -> None:
    job = a_job(RetryPolicy(max_attempts=4, first_delay=10, longest_delay=15))
    rests = []
    for epoch in (1, 2, 3):
        at = job.due_at
        job.start("worker-1", at=at)
        job.fail(epoch, "broken", permanent=False, chance=1, at=at)
        rests.append((job.due_at - at).total_seconds())
    assert rests == [10, 15, 15]


@given(chance=st.floats(0, 1), failures=st.integers(1, 200))
def test_chance_takes_away_at_most_half_of_a_rest(chance: float, failures: int) -> None:
    policy = RetryPolicy(first_delay=2, longest_delay=300)
    full = min(300, 2 * 2 ** min(failures - 1, 30))
    assert full / 2 <= policy.delay(failures, chance).total_seconds() <= full


def test_after_its_last_attempt_a_job_is_a_dead_letter() -> None:
    job = a_job(RetryPolicy(max_attempts=1))
    job.start("worker-1", at=NOW)
    job.fail(1, "broken", permanent=False, chance=1, at=NOW)
    assert topics(job) == ["requested", "started", "attempt_failed", "dead_lettered"]
    assert job.state is JobState.DEAD


def test_what_cannot_be_done_is_a_dead_letter_at_once() -> None:
    assert topics(a_dead_job()) == ["requested", "started", "attempt_failed", "dead_lettered"]


def test_a_replayed_job_has_all_its_attempts_again() -> None:
    job = a_dead_job()
    job.replay(at=NOW + later(9))
    assert (job.state, job.attempt, job.due_at) == (JobState.WAITING, 0, NOW + later(9))
    job.start("worker-2", at=NOW + later(9))
    assert (job.attempt, job.epoch) == (1, 2)


def test_only_a_dead_letter_can_be_replayed() -> None:
    with pytest.raises(AlreadyDone, match="only dead letters"):
        a_job().replay(at=NOW)


def test_an_attempt_that_was_given_back_does_not_count() -> None:
    job = a_started_job()
    job.release(1, at=NOW)
    job.start("worker-2", at=NOW)
    assert (job.attempt, job.epoch) == (1, 2)


@pytest.mark.parametrize(
    "report",
    [
        lambda job: job.succeed(1, {}, at=NOW),
        lambda job: job.fail(1, "broken", False, 1, at=NOW),
        lambda job: job.progress(1, "half", at=NOW),
        lambda job: job.release(1, at=NOW),
    ],
)
def test_a_late_report_from_an_attempt_that_was_lost_is_refused(report: Callable[[Job], None]) -> None:
    job = a_started_job()
    job.fail(1, "its worker is gone", permanent=False, chance=0, at=NOW)
    with pytest.raises(LeaseLost):
        report(job)
    job.start("worker-2", at=job.due_at)
    with pytest.raises(LeaseLost):
        report(job)


def test_a_job_that_runs_cannot_be_started_by_another_worker() -> None:
    with pytest.raises(LeaseLost, match="worker-1 has"):
        a_started_job().start("worker-2", at=NOW)


@pytest.mark.parametrize("given_job", [a_job, a_started_job, a_dead_job])
def test_a_job_can_be_cancelled_unless_it_succeeded_and_that_is_its_end(given_job: Callable[[], Job]) -> None:
    job = given_job()
    job.cancel("not needed", at=NOW)
    assert job.state is JobState.CANCELLED
    with pytest.raises(AlreadyDone):
        job.succeed(1, {}, at=NOW)
    with pytest.raises(AlreadyDone):
        job.cancel("again", at=NOW)
    with pytest.raises(AlreadyDone, match="only dead letters"):
        job.replay(at=NOW)


def test_a_job_that_succeeded_is_not_cancelled() -> None:
    job = a_started_job()
    job.succeed(1, {}, at=NOW)
    with pytest.raises(AlreadyDone):
        job.cancel("too late", at=NOW)


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(max_attempts=0),
        RetryPolicy(first_delay=-1),
        RetryPolicy(first_delay=10, longest_delay=5),
        RetryPolicy(timeout=0),
    ],
)
def test_a_policy_that_nobody_could_follow_is_refused(policy: RetryPolicy) -> None:
    with pytest.raises(Invalid):
        a_job(policy)


ACTIONS = ("start", "succeed", "fail", "fail for good", "crash", "release", "zombie", "cancel", "replay")


@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=40), max_attempts=st.integers(1, 4))
def test_whatever_happens_in_whatever_order_attempts_stay_within_the_policy_and_there_is_one_end(
    actions: list[str], max_attempts: int
) -> None:
    job = a_job(RetryPolicy(max_attempts=max_attempts, first_delay=0))
    for action in actions:
        try:
            act(job, action)
        except DomainError:
            continue
        assert 0 <= job.attempt <= max_attempts
    names = topics(job)
    rounds = " ".join(names).split("replayed")
    assert all(round.count("attempt_failed") <= max_attempts for round in rounds)
    assert names.count("succeeded") + names.count("cancelled") <= 1
    assert names.count("dead_lettered") - names.count("replayed") in (0, 1)
    if job.state in (JobState.SUCCEEDED, JobState.CANCELLED):
        assert names[-1] == job.state


def act(job: Job, action: str) -> None:
    match action:
        case "start":
            job.start("worker", at=job.due_at)
        case "succeed":
            job.succeed(job.epoch, {}, at=NOW)
        case "fail" | "crash":
            job.fail(job.epoch, action, permanent=False, chance=0.5, at=NOW)
        case "fail for good":
            job.fail(job.epoch, action, permanent=True, chance=0.5, at=NOW)
        case "release":
            job.release(job.epoch, at=NOW)
        case "zombie":
            job.succeed(job.epoch - 1, {}, at=NOW)
        case "cancel":
            job.cancel("", at=NOW)
        case "replay":
            job.replay(at=NOW)
