"""A worker's hands: each job is done once at a time, and what comes of it is recorded, whatever its handler does."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from threading import Barrier
from uuid import UUID

import pytest

from adapters.artifacts import JobResults
from commands.jobs import CancelJob, RequestJob
from commands.policies import held_job, run_jobs
from commands.policies.held_job import Attempt
from commands.policies.patience import Patience
from commands.policies.run_jobs import RunJobs, in_thread
from domain.events import Actor, ActorKind, Recorded
from domain.job import RESULT_CHARACTERS, Job, Json
from domain.ports.jobs import Handed, LostJob, QueueAway, WaitingJob
from tests.eventually import eventually
from tests.fakes import MemoryEventStore, an_envelope


@dataclass
class InHand:
    """The Handed port: `told` says what became of it."""

    job: UUID
    told: list[str] = field(default_factory=list)

    async def done(self) -> None:
        self.told.append("done")

    async def later(self, seconds: float) -> None:
        self.told.append("later")


class FakeQueue:
    """The JobQueue port: hands out what is put in."""

    def __init__(self) -> None:
        self.inside: list[InHand] = []
        self.away = False

    async def held(self) -> int:
        raise NotImplementedError

    async def offer(self, jobs: Sequence[WaitingJob]) -> None:
        raise NotImplementedError

    async def take(self, queue: str) -> Handed | None:
        await asyncio.sleep(0.001)
        if self.away:
            raise QueueAway("no NATS")
        return self.inside.pop(0) if self.inside else None


class NothingAtHand:
    """The JobsAtHand port."""

    def due(self, limit: int, queue: str | None = None) -> Sequence[WaitingJob]:
        return []

    def lost(self) -> Sequence[LostJob]:
        return []


class Worker:
    """One that does `clean-up` with the given handler."""

    def __init__(self, handler: run_jobs.JobHandler, store: MemoryEventStore | None = None) -> None:
        self.store, self.queue = store or MemoryEventStore(), FakeQueue()
        self.stop = asyncio.Event()
        self.artifacts = Path(mkdtemp(prefix="caravan-test-"))
        self._runner = RunJobs(
            self.store,
            self.store.bus().execute,
            self.queue,
            NothingAtHand(),
            {"clean-up": handler},
            JobResults(self.artifacts),
            {"maintenance": 3},
            "worker-1",
            Actor("worker", ActorKind.AUTOMATION),
            Patience((), self.stop.is_set),
        )

    def request(self, kind: str = "clean-up") -> UUID:
        return self.store.bus().execute(RequestJob(kind), an_envelope()).id

    def hand(self, job: UUID) -> InHand:
        handed = InHand(job)
        self.queue.inside.append(handed)
        return handed

    def topics(self, job: UUID) -> list[str]:
        mine = (recorded for recorded in self.store.read() if recorded.event.originator_id == job)
        return [recorded.type.removeprefix("job.") for recorded in mine]

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._runner.run(self.stop))
        yield
        self.stop.set()
        await asyncio.wait_for(task, 60)
        shutil.rmtree(self.artifacts)


class SimultaneousReaders(MemoryEventStore):
    """Its first readers of a history all see the same, as they wait for each other."""

    def __init__(self, readers: int) -> None:
        super().__init__()
        self._barrier = Barrier(readers)
        self._reads = count()
        self._readers = readers

    def history(self, id: UUID) -> Sequence[Recorded]:
        found = super().history(id)
        if next(self._reads) < self._readers:
            self._barrier.wait(60)
        return found


@dataclass
class Clock:
    """Goes on when it is told to; `looks` counts how often somebody looked at it."""

    now: float = 0.0
    looks: int = 0

    def monotonic(self) -> float:
        self.looks += 1
        return self.now

    async def goes_on(self, seconds: float) -> None:
        """Until somebody has seen it."""
        seen, self.now = self.looks, self.now + seconds
        await eventually(lambda: self.looks > seen)


async def nothing(payload: Json, attempt: Attempt) -> Json:
    return {}


async def forever(payload: Json, attempt: Attempt) -> Json:
    await asyncio.Event().wait()
    return {}


async def test_two_slots_that_are_handed_the_same_job_do_it_once() -> None:
    begun: list[int] = []

    async def slowly(payload: Json, attempt: Attempt) -> Json:
        begun.append(attempt.number)
        await asyncio.sleep(0.1)
        return {}

    worker = Worker(slowly, SimultaneousReaders(3))
    job = worker.request()
    handed = [worker.hand(job) for _ in range(3)]
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "succeeded")
    assert begun == [1]
    assert [each.told for each in handed] == [["done"]] * 3
    assert worker.topics(job) == ["requested", "started", "succeeded"]


async def test_a_job_of_a_kind_that_this_worker_does_not_know_is_left_to_a_newer_one() -> None:
    worker = Worker(nothing)
    handed = worker.hand(worker.request("orphans"))
    async with worker.at_work():
        await eventually(lambda: handed.told == ["later"])
    assert worker.topics(handed.job) == ["requested"]


async def test_an_id_that_is_no_job_is_forgotten() -> None:
    worker = Worker(nothing)
    handed = worker.hand(UUID(int=7))
    async with worker.at_work():
        await eventually(lambda: handed.told == ["done"])


async def test_a_heartbeat_starts_the_time_out_over_and_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(run_jobs, "time", clock)
    monkeypatch.setattr(held_job, "time", clock)
    monkeypatch.setattr(run_jobs, "LISTEN_SECONDS", 0.02)
    monkeypatch.setattr(run_jobs, "TELL_SECONDS", 500)

    async def lively(payload: Json, attempt: Attempt) -> Json:
        for number in range(10):
            attempt.heartbeat(f"{number} of 10")
            await clock.goes_on(200)  # of the 300 that a job may be silent
        return {}

    worker = Worker(lively)
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "succeeded")
    told = [each.event.text for each in worker.store.history(job) if isinstance(each.event, Job.Progressed)]
    assert told == ["2 of 10", "5 of 10", "8 of 10"]


async def test_a_result_that_cannot_be_kept_fails_the_attempt() -> None:
    async def unstorable(payload: Json, attempt: Attempt) -> Json:
        return {"text": "\0"}

    worker = Worker(unstorable)
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "attempt_failed")


async def test_a_result_that_is_too_large_for_an_event_is_kept_in_a_file() -> None:
    result = {"text": "ä" * 70_000}

    async def talkative(payload: Json, attempt: Attempt) -> Json:
        return result

    worker = Worker(talkative)
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "succeeded")
        succeeded = worker.store.history(job)[-1].event
        assert isinstance(succeeded, Job.Succeeded)
        assert succeeded.file
        assert json.loads(JobResults(worker.artifacts).read(succeeded.file)) == result


async def test_a_result_counts_by_its_characters_whatever_they_are_written_in() -> None:
    result = {"text": "я" * (RESULT_CHARACTERS - 12)}  # the rest is {"text": ""}

    async def fluent(payload: Json, attempt: Attempt) -> Json:
        return result

    worker = Worker(fluent)
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] != "started" and len(worker.topics(job)) > 2)
    succeeded = worker.store.history(job)[-1].event
    assert isinstance(succeeded, Job.Succeeded)
    assert succeeded.result == result


async def test_a_coroutine_is_cancelled_with_its_job() -> None:
    ended: list[str] = []

    async def patient(payload: Json, attempt: Attempt) -> Json:
        try:
            return await forever(payload, attempt)
        finally:
            ended.append("cancelled" if attempt.called_off else "ended")

    worker = Worker(patient)
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "started")
        worker.store.bus().execute(CancelJob(job, "not needed"), an_envelope())
        await eventually(lambda: ended == ["cancelled"])
    assert worker.topics(job) == ["requested", "started", "cancelled"]


async def test_a_thread_that_hangs_does_not_keep_a_worker_from_stopping() -> None:
    release = asyncio.Event()

    def hang(payload: Json, attempt: Attempt) -> Json:
        while not release.is_set():
            time.sleep(0.01)
        return {}

    worker = Worker(in_thread(hang))
    job = worker.request()
    worker.hand(job)
    async with worker.at_work():
        await eventually(lambda: worker.topics(job)[-1] == "started")
    assert worker.topics(job)[-1] == "released"
    release.set()
