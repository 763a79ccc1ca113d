"""Puts the jobs that are due into the work queue, and ends the attempts that nobody gets on with.

One at a time does this, the leader. What the queue was given is remembered only to spare it: whenever the queue holds
less than what waits, something was lost, and all of it is offered again. A job that is offered twice is done once.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from uuid import uuid5

from loguru import logger

from commands.jobs import FailJobAttempt
from domain.errors import AlreadyDone, LeaseLost
from domain.events import Actor
from domain.ports.events import EventLog, Execute
from domain.ports.jobs import JobQueue, JobsAtHand, LostJob, QueueAway, WaitingJob

OFFERED_AT_ONCE = 5_000
"""The rest waits in Postgres alone, until those are taken."""


class DispatchJobs:
    """`wake` it when something happened to a job. It looks by itself each `poll_seconds` as well, which is also how
    late an attempt may begin after its rest."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        jobs: JobsAtHand,
        queue: JobQueue,
        actor: Actor,
        poll_seconds: float = 1.0,
    ) -> None:
        self._log = log
        self._execute = execute
        self._jobs = jobs
        self._queue = queue
        self._actor = actor
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._offered: frozenset[WaitingJob] = frozenset()

    def wake(self) -> None:
        """There is news of jobs. To be called on the event loop."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What goes wrong is tried again at the next turn."""
        while not stop.is_set():
            self._woken.clear()
            try:
                await self._end_lost_attempts()
                await self._offer()
            except QueueAway as away:
                logger.debug("jobs are not offered now: {}", away)
            except Exception:
                logger.exception("could not dispatch jobs; trying again in {} s", self._poll_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._poll_seconds)

    async def _offer(self) -> None:
        held = await self._queue.held()
        due = frozenset(await asyncio.to_thread(self._jobs.due, OFFERED_AT_ONCE))  # asked last: who starts, acks then
        known = self._offered & due
        if held < len(known):
            logger.warning("the work queue lost {} of {} jobs; all are offered again", len(known) - held, len(known))
            known = frozenset()
        await self._queue.offer(sorted(due - known, key=lambda waiting: waiting.job))
        self._offered = due

    async def _end_lost_attempts(self) -> None:
        for lost in await asyncio.to_thread(self._jobs.lost):
            await asyncio.to_thread(self._end, lost)

    def _end(self, lost: LostJob) -> None:
        requested = self._log.history(lost.job)[0]
        envelope = requested.followed_by(self._actor, uuid5(lost.job, f"{lost.epoch}/lost"))
        try:
            self._execute(FailJobAttempt(lost.job, lost.epoch, lost.reason, chance=random.random()), envelope)  # noqa: S311 - a guess at it harms nobody
        except (LeaseLost, AlreadyDone) as late:
            logger.info("job {} was not lost after all: {}", lost.job, late)
