"""Whenever a job is due, do it: takes jobs from the work queue, hands each to the handler of its kind, and records what
came of it.

A job leaves the queue as soon as its start is recorded: from then on Postgres knows who has it. While the queue is
away, Postgres is asked what to do next.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from uuid import UUID, uuid4

from loguru import logger

from commands.jobs import StartJob
from commands.policies.held_job import Attempt, HeldJob, PermanentFailure
from commands.policies.in_logs import in_logs
from commands.policies.patience import Patience, StoreUnavailable
from domain.errors import AlreadyDone, LeaseLost
from domain.events import Actor, Recorded, topic_of
from domain.job import RESULT_CHARACTERS, Job, Json, NotDue, ResultFile, result_text
from domain.ports.events import EventLog, Execute, Spans
from domain.ports.jobs import Handed, JobQueue, JobsAtHand, QueueAway, ResultFiles

JobHandler = Callable[[Json, Attempt], Awaitable[Json]]
"""Does a job of one kind: from its payload, as the kind's `check` returned it, to its result. At least once: a worker
may die after the work and before the record, so it must be harmless to do again. What it raises fails the attempt."""

TELL_SECONDS = 5.0
"""Between two records of a job's progress."""
LOOK_SECONDS = 1.0
"""How late a worker sees that a job was cancelled."""
AWAY_SECONDS = 0.5
"""Between two looks into Postgres while the queue is away."""
CHOICE = 20
"""Of so many that are due a worker takes one, while no queue hands them out."""
LATER_SECONDS = 2.0
LISTEN_SECONDS = 0.1
"""Between two looks at an attempt."""
GRACE_SECONDS = 5.0
"""For a coroutine to end after it was cancelled."""
CALLED_OFF = (topic_of(Job.Cancelled), topic_of(Job.AttemptFailed))
"""What ends an attempt when it comes from somebody else."""


class Silent(Exception):
    """The handler gave no sign of life for as long as its kind allows."""


def in_thread(work: Callable[[Json, Attempt], Json]) -> JobHandler:
    """A handler of a function that blocks. It has a thread of its own, which ends with it: one that hangs takes nothing
    from the others."""

    async def handle(payload: Json, attempt: Attempt) -> Json:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Json] = loop.create_future()

        def settle(result: Json | None, error: Exception | None) -> None:
            if done.cancelled():
                return
            if error:
                done.set_exception(error)
            else:
                done.set_result(result or {})

        def run() -> None:
            result, failure = None, None
            try:
                result = work(payload, attempt)
            except Exception as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, failure)

        Thread(target=run, name=f"job {attempt.job}", daemon=True).start()
        return await done

    return handle


class RunJobs:
    """Does the jobs of these `queues`, each with so many at once. Results that are too large for an event go to
    `files`. `worker` is the name under which this process gives its signs of life."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        queue: JobQueue,
        jobs: JobsAtHand,
        handlers: Mapping[str, JobHandler],
        files: ResultFiles,
        queues: Mapping[str, int],
        worker: str,
        actor: Actor,
        patiently: Patience,
        span: Spans = in_logs,
    ) -> None:
        self._log = log
        self._execute = execute
        self._queue = queue
        self._jobs = jobs
        self._handlers = handlers
        self._files = files
        self._queues = queues
        self._worker = worker
        self._actor = actor
        self._patiently = patiently
        self._span = span
        self._held: dict[UUID, HeldJob] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. The jobs under way are given back then."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(stop))
            for queue, slots in self._queues.items():
                turn = asyncio.Lock()
                for _ in range(slots):
                    group.create_task(self._serve(queue, turn, stop))

    async def _serve(self, queue: str, turn: asyncio.Lock, stop: asyncio.Event) -> None:
        """One slot of that queue: a job after the other. Of all free slots one asks at a time."""
        while not stop.is_set():
            try:
                async with turn:
                    handed = None if stop.is_set() else await self._next(queue)
                if handed:
                    await self._handle(handed, stop)
            except Exception:
                logger.exception("a job of the queue {} could not be handled; it comes again", queue)
                await asyncio.sleep(AWAY_SECONDS)

    async def _next(self, queue: str) -> Handed | None:
        try:
            return await self._queue.take(queue)
        except QueueAway as away:
            logger.debug("jobs come from Postgres now: {}", away)
            due = await asyncio.to_thread(self._jobs.due, CHOICE, queue)
            if not due:
                await asyncio.sleep(AWAY_SECONDS)
                return None
            equals = [waiting.job for waiting in due if waiting.priority is due[0].priority]
            return _FromPostgres(random.choice(equals))  # noqa: S311 - so that workers rarely choose the same

    async def _handle(self, handed: Handed, stop: asyncio.Event) -> None:
        command_id = uuid4()  # of this taking, however often it is tried: two slots may be handed the same job
        try:
            taken = await asyncio.to_thread(self._patiently, lambda: self._take(handed.job, command_id))
        except (StoreUnavailable, _UnknownKind) as later:
            logger.warning("job {} is not for now: {}", handed.job, later)
            await handed.later(LATER_SECONDS)
            return
        await handed.done()
        match taken:
            case [
                Recorded(event=Job.Requested() as requested),
                *_,
                Recorded(event=Job.Started(epoch=epoch, attempt=number)) as started,
            ]:
                attempt = Attempt(handed.job, number)
                held = HeldJob(self._execute, self._actor, started, epoch, attempt, self._patiently)
                self._held[handed.job] = held
                try:
                    with self._span("run-job", started, job=str(handed.job), kind=requested.kind, attempt=number):
                        await self._do(requested, held, stop)
                finally:
                    del self._held[handed.job]

    def _take(self, job: UUID, command_id: UUID) -> Sequence[Recorded]:
        """The job's events up to our start; none where it is not to be done, or not by us."""
        history = self._log.history(job)
        match history:
            case [Recorded(event=Job.Requested(kind=kind)) as requested, *_]:
                if kind not in self._handlers:
                    raise _UnknownKind(f"this worker knows no jobs of the kind {kind!r}")
            case _:
                return []
        try:
            written = self._execute(StartJob(job, self._worker), requested.followed_by(self._actor, command_id))
        except (AlreadyDone, LeaseLost, NotDue) as refused:
            logger.debug("job {} is not ours: {}", job, refused)
            return []
        return self._log.history(job)[: written.version]

    async def _do(self, requested: Job.Requested, held: HeldJob, stop: asyncio.Event) -> None:
        try:
            result = await self._attempted(requested, held, stop)
            await asyncio.to_thread(lambda: held.succeed(self._kept(result)))
        except _CalledOff:
            if stop.is_set():
                await asyncio.to_thread(held.release)
        except StoreUnavailable:
            raise
        except Exception as error:
            logger.warning("attempt {} of job {} failed: {!r}", held.attempt.number, held.attempt.job, error)
            permanent = isinstance(error, PermanentFailure)
            said = str(error) if isinstance(error, PermanentFailure | Silent) else f"{type(error).__name__}: {error}"
            await asyncio.to_thread(held.fail, said, permanent, random.random())  # noqa: S311 - a guess at it harms nobody

    def _kept(self, result: Json) -> Json | ResultFile:
        text = result_text(result)
        return result if len(text) <= RESULT_CHARACTERS else self._files.keep(text.encode())

    async def _attempted(self, requested: Job.Requested, held: HeldJob, stop: asyncio.Event) -> Json:
        """What the handler returns. Raises what it raises, Silent, or _CalledOff."""
        attempt, timeout = held.attempt, requested.policy.timeout
        work = asyncio.ensure_future(self._handlers[requested.kind](requested.payload, attempt))
        told_at = attempt.heard_at
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=LISTEN_SECONDS)
                now, heard_at = time.monotonic(), attempt.heard_at
                if work.done():
                    break
                if stop.is_set() or attempt.called_off:
                    raise _CalledOff
                if now - heard_at > timeout:
                    raise Silent(f"no result and no sign of life for {timeout:g} s")
                if heard_at > told_at and now - told_at > TELL_SECONDS:
                    told_at = now
                    await asyncio.to_thread(held.progress, attempt.text)
            return work.result()
        finally:
            attempt.call_off()
            work.cancel()
            await asyncio.wait({work}, timeout=GRACE_SECONDS)

    async def _watch(self, stop: asyncio.Event) -> None:
        """Calls off the attempts that somebody else has ended."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            if held := dict(self._held):
                try:
                    await asyncio.to_thread(self._look, held)
                except Exception as error:
                    logger.warning("cannot see whether a job was cancelled: {}; looking again", error)

    def _look(self, held: Mapping[UUID, HeldJob]) -> None:
        head = self._log.head()
        for recorded in self._log.read(min(each.seen for each in held.values()), head, CALLED_OFF):
            this = held.get(recorded.event.originator_id)
            if this and recorded.position > this.seen:
                this.attempt.call_off()
        for each in held.values():
            each.seen = head


class _CalledOff(Exception):
    """The attempt is over, and nothing is to be recorded of it."""


class _UnknownKind(Exception):
    """A job for a newer worker than this one."""


@dataclass(frozen=True, slots=True)
class _FromPostgres:
    """A job that no queue handed over: there is nobody to tell."""

    job: UUID

    async def done(self) -> None:
        """Its start is recorded."""

    async def later(self, seconds: float) -> None:
        """It is still there."""
        await asyncio.sleep(seconds)
