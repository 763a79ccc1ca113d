"""Jobs that end in every way."""

from __future__ import annotations

from domain.job import Job, Priority, ResultFile, RetryPolicy
from tests.story.telling import SHA, at, id_of


def _job(name: str, max_attempts: int = 2) -> Job:
    return Job.request(
        id=id_of(name),
        kind="orphans",
        queue="maintenance",
        priority=Priority.NORMAL,
        payload={"idle_minutes": 60, "takeovers": 10},
        policy=RetryPolicy(max_attempts, first_delay=2.0, longest_delay=300.0, timeout=300.0),
        due_at=at(60),
        schedule="orphans",
        at=at(60),
    )


def replayed_job() -> Job:
    """It fails for good, is taken out of the dead letters, and succeeds."""
    job = _job("replayed job")
    job.start("worker-1", at=at(61))
    job.progress(1, "3 of 7 runs", at=at(62))
    job.release(1, at=at(63))
    job.start("worker-2", at=at(64))
    job.fail(2, "no database", permanent=False, chance=1.0, at=at(65))
    job.start("worker-2", at=at(67))
    job.fail(3, "no database", permanent=False, chance=1.0, at=at(68))
    job.replay(at=at(70))
    job.start("worker-2", at=at(71))
    job.succeed(4, {"runs": [], "trainings": []}, at=at(72))
    return job


def job_with_large_result() -> Job:
    job = _job("job with a large result")
    job.start("worker-1", at=at(61))
    job.succeed(1, ResultFile(SHA, 70_000), at=at(62))
    return job


def cancelled_job() -> Job:
    job = _job("cancelled job")
    job.cancel("not needed", at=at(61))
    return job


def dead_job() -> Job:
    job = _job("dead job", max_attempts=1)
    job.start("worker-1", at=at(61))
    job.fail(1, "no database", permanent=False, chance=1.0, at=at(62))
    return job
