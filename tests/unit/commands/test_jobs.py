"""What may be asked of jobs, and what is refused."""

from __future__ import annotations

import pytest

from commands.jobs import FailJobAttempt, ReplayJob, RequestJob, StartJob, SucceedJob
from domain.errors import Invalid
from domain.job import Job
from tests.builders import an_id
from tests.fakes import MemoryEventStore, an_envelope


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


def requested(store: MemoryEventStore) -> Job.Requested:
    (event,) = [each.event for each in store.read(topics=["job.requested"])]
    assert isinstance(event, Job.Requested)
    return event


def test_a_payload_is_kept_with_its_defaults(store: MemoryEventStore) -> None:
    store.bus().execute(RequestJob("orphans", {"takeovers": 5}), an_envelope())
    assert requested(store).payload == {"idle_minutes": 360, "takeovers": 5}
    assert requested(store).queue == "maintenance"


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        ("launder", {}, "there is audit-check, clean-up, import, orphans, parked-report"),
        ("orphans", {"takeovers": "many"}, "Expected `int`, got `str` - at `\\$.takeovers`"),
        ("orphans", {"takeovers": 1}, ">= 2"),
        ("parked-report", {"quickly": True}, "unknown field `quickly`"),
    ],
)
def test_what_no_worker_could_do_is_refused_with_what_to_do(
    store: MemoryEventStore, kind: str, payload: dict[str, object], why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        store.bus().execute(RequestJob(kind, payload), an_envelope())


def test_a_job_that_is_asked_for_twice_by_its_id_is_one(store: MemoryEventStore) -> None:
    request = RequestJob("clean-up", id=an_id("tick"))
    first, second = (store.bus().execute(request, an_envelope()) for _ in range(2))
    assert (first.id, first.version) == (second.id, second.version) == (an_id("tick"), 1)
    assert requested(store).originator_id == an_id("tick")


def test_a_job_that_failed_for_good_is_replayed_and_done(store: MemoryEventStore) -> None:
    bus = store.bus()
    job = bus.execute(RequestJob("clean-up"), an_envelope()).id
    for command in (
        StartJob(job, "worker-1"),
        FailJobAttempt(job, 1, "no disk", permanent=True),
        ReplayJob(job),
        StartJob(job, "worker-1"),
        SucceedJob(job, 2, {"removed": 3}),
    ):
        bus.execute(command, an_envelope())
    assert store.history(job)[-1].type == "job.succeeded"


def test_a_result_that_is_too_large_is_refused(store: MemoryEventStore) -> None:
    job = store.bus().execute(RequestJob("clean-up"), an_envelope()).id
    store.bus().execute(StartJob(job, "worker-1"), an_envelope())
    with pytest.raises(Invalid, match="keep it in a file"):
        store.bus().execute(SucceedJob(job, 1, {"all": "x" * 70_000}), an_envelope())
