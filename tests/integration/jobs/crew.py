"""Workers that do jobs of the tests' own kinds, on a real Postgres and a real NATS.

As a process: `python -m tests.integration.jobs.crew DATABASE_URL NATS_URL NAME`; it says on stdout what it begins.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine

from adapters.artifacts import JobResults
from adapters.event_store import PostgresEventStore
from adapters.job_queue import JetStreamJobs
from adapters.presence import Presence
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.job_kinds import Nothing, job_kind
from commands.jobs import RequestJob
from commands.policies.dispatch_jobs import DispatchJobs
from commands.policies.held_job import Attempt, PermanentFailure
from commands.policies.patience import Patience
from commands.policies.run_jobs import JobHandler, RunJobs, in_thread
from domain.events import Actor, ActorKind, Envelope
from domain.job import JobKind, JobState, Json, Priority, RetryPolicy
from projections import jobs
from projections.engine import catch_up
from projections.failures import OUTAGES
from projections.lookups import JobsAtHand
from projections.projector import Row
from tests.eventually import eventually
from tests.fakes import BASE_MODELS, KINDS, JsonRoster

QUICK = RetryPolicy(max_attempts=3, first_delay=0.02, longest_delay=0.1, timeout=60.0)
TEST_KINDS: Mapping[str, JobKind] = {
    **{
        name: replace(job_kind(name, "test", "For tests", Nothing, QUICK), check=lambda payload: payload)
        for name in ("note", "fail", "refuse", "wait")
    },
    "hang": job_kind("hang", "test", "For tests", Nothing, replace(QUICK, max_attempts=1, timeout=0.3)),
}
ACTOR = Actor("test", ActorKind.AUTOMATION)
BEAT_SECONDS, GONE_AFTER = 0.1, timedelta(seconds=1)


class Handlers:
    """What is done with the jobs of each kind, and `done`: the notes that were made, in order."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.called_off: list[UUID] = []

    def all(self) -> Mapping[str, JobHandler]:
        return {
            "note": in_thread(self.note),
            "fail": self.fail,
            "refuse": self.refuse,
            "wait": in_thread(self.wait),
            "hang": in_thread(self.wait),
        }

    def note(self, payload: Json, attempt: Attempt) -> Json:
        time.sleep(payload.get("seconds", 0))
        self.done.append(payload.get("note"))
        return {"noted": payload.get("note")}

    async def fail(self, payload: Json, attempt: Attempt) -> Json:
        self.done.append(attempt.number)
        raise ConnectionError(f"attempt {attempt.number} met nobody")

    async def refuse(self, payload: Json, attempt: Attempt) -> Json:
        raise PermanentFailure("this can never be")

    def wait(self, payload: Json, attempt: Attempt) -> Json:
        print(f"begins {attempt.number}", flush=True)  # noqa: T201 - a test reads it
        while not attempt.called_off:
            time.sleep(0.02)
        self.called_off.append(attempt.job)
        return {"attempt": attempt.number}


class Crew:
    """The store, a bus that knows the tests' kinds, and workers."""

    def __init__(self, database: str, nats_url: str) -> None:
        self.store = PostgresEventStore(database)
        self.engine: Engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        self.presence = Presence(self.engine, BEAT_SECONDS, GONE_AFTER)
        self.at_hand = JobsAtHand(self.engine, self.store, self.presence)
        self.handlers = Handlers()
        self._nats_url = nats_url
        commands = handlers(KINDS, JsonRoster(), BASE_MODELS, TEST_KINDS)
        self._bus = CommandBus(commands, self.store.session, self.store)

    def execute(self, command: object, envelope: Envelope | None = None) -> UUID:
        return self._bus.execute(command, envelope or Envelope(ACTOR, uuid4())).id

    def request(self, kind: str, priority: Priority = Priority.NORMAL, **payload: object) -> UUID:
        return self.execute(RequestJob(kind, payload, priority))

    def job(self, id: UUID) -> Row:
        catch_up(self.engine, self.store, jobs.PROJECTOR)
        with self.engine.connect() as db:
            found = jobs.find(db, id)
        assert found
        return found

    def topics(self, id: UUID) -> list[str]:
        return [recorded.type.removeprefix("job.") for recorded in self.store.history(id)]

    def in_state(self, state: JobState) -> int:
        catch_up(self.engine, self.store, jobs.PROJECTOR)
        with self.engine.connect() as db:
            return len(jobs.jobs(db, state=state, limit=10_000).items)

    async def until(self, id: UUID, state: JobState) -> Row:
        await eventually(lambda: self.job(id)["state"] == state, every_seconds=0.05)
        return self.job(id)

    @asynccontextmanager
    async def at_work(self, worker: str = "worker-1", slots: int = 4) -> AsyncIterator[asyncio.Event]:
        """One worker, which also dispatches; it ends in good order."""
        stop = asyncio.Event()
        queue = JetStreamJobs(self._nats_url, ["test"])
        runner = RunJobs(
            self.store,
            self._bus.execute,
            queue,
            self.at_hand,
            self.handlers.all(),
            JobResults(Path(gettempdir())),
            {"test": slots},
            worker,
            ACTOR,
            Patience(OUTAGES, stop.is_set),
        )
        dispatcher = DispatchJobs(self.store, self._bus.execute, self.at_hand, queue, ACTOR, poll_seconds=0.05)
        with self.presence.announced(worker):
            async with asyncio.TaskGroup() as group:
                for part in (queue, runner, dispatcher):
                    group.create_task(part.run(stop))
                try:
                    yield stop
                finally:
                    stop.set()

    def close(self) -> None:
        self.store.close()
        self.engine.dispose()


@contextmanager
def crew_on(database: str, nats_url: str) -> Iterator[Crew]:
    crew = Crew(database, nats_url)
    try:
        yield crew
    finally:
        crew.close()


async def _work(database: str, nats_url: str, name: str) -> None:
    with crew_on(database, nats_url) as crew:
        async with crew.at_work(name):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
