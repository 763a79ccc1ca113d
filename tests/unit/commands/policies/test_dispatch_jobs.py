"""The dispatcher: what is due is offered once, and all of it again when the queue has lost something."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from commands.jobs import RequestJob, StartJob
from commands.policies.dispatch_jobs import DispatchJobs
from domain.events import Actor, ActorKind
from domain.job import Priority
from domain.ports.jobs import Handed, LostJob, QueueAway, WaitingJob
from tests.builders import an_id
from tests.eventually import eventually
from tests.fakes import MemoryEventStore, an_envelope


class FakeQueue:
    """The JobQueue port."""

    def __init__(self) -> None:
        self.inside: list[UUID] = []
        self.offers = 0
        self.away = False

    async def held(self) -> int:
        if self.away:
            raise QueueAway("no NATS")
        return len(self.inside)

    async def offer(self, jobs: Sequence[WaitingJob]) -> None:
        self.offers += len(jobs)
        self.inside += [waiting.job for waiting in jobs]

    async def take(self, queue: str) -> Handed | None:
        raise NotImplementedError


class FakeJobs:
    """The JobsAtHand port."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = [WaitingJob(an_id(name), "test", Priority.NORMAL, 0) for name in waiting]
        self.gone: list[LostJob] = []

    def due(self, limit: int, queue: str | None = None) -> Sequence[WaitingJob]:
        return self.waiting[:limit]

    def lost(self) -> Sequence[LostJob]:
        return self.gone


class Dispatching:
    """A dispatcher at work, which looks a hundred times a second."""

    def __init__(self, jobs: FakeJobs, store: MemoryEventStore | None = None) -> None:
        self.queue = FakeQueue()
        store = store or MemoryEventStore()
        actor = Actor("dispatcher", ActorKind.AUTOMATION)
        self._dispatcher = DispatchJobs(store, store.bus().execute, jobs, self.queue, actor, poll_seconds=0.01)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> FakeQueue:
        self._task = asyncio.create_task(self._dispatcher.run(self._stop))
        return self.queue

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self._task


async def test_what_is_due_is_offered_once() -> None:
    async with Dispatching(FakeJobs("one", "two")) as queue:
        await eventually(lambda: len(queue.inside) == 2)
        await asyncio.sleep(0.1)
        assert queue.offers == 2


async def test_what_a_wiped_queue_has_lost_is_offered_again() -> None:
    async with Dispatching(FakeJobs("one", "two")) as queue:
        await eventually(lambda: len(queue.inside) == 2)
        queue.inside.clear()
        await eventually(lambda: len(queue.inside) == 2)


async def test_a_job_that_is_taken_is_not_missed() -> None:
    jobs = FakeJobs("one", "two")
    async with Dispatching(jobs) as queue:
        await eventually(lambda: len(queue.inside) == 2)
        taken = jobs.waiting.pop()
        queue.inside.remove(taken.job)
        await asyncio.sleep(0.1)
        assert queue.offers == 2


async def test_a_queue_that_is_away_is_asked_again() -> None:
    dispatching = Dispatching(FakeJobs("one"))
    dispatching.queue.away = True
    async with dispatching as queue:
        await asyncio.sleep(0.05)
        queue.away = False
        await eventually(lambda: len(queue.inside) == 1)


async def test_an_attempt_whose_worker_is_gone_has_failed_once() -> None:
    store, jobs = MemoryEventStore(), FakeJobs()
    job = store.bus().execute(RequestJob("clean-up"), an_envelope()).id
    store.bus().execute(StartJob(job, "worker-1"), an_envelope())
    jobs.gone = [LostJob(job, 1, "its worker worker-1 is gone")]
    async with Dispatching(jobs, store):
        await eventually(lambda: store.history(job)[-1].type == "job.attempt_failed")
        await asyncio.sleep(0.05)
    assert len(store.history(job)) == 3
