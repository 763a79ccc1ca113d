"""Asks for the jobs of the schedules when they are due. One at a time does this, the leader.

A job's id follows from its schedule and its moment, so that neither a second leader nor a restart makes another one. Of
the moments that passed while nobody was there, the last is made up for. A schedule begins with the log itself: what
would have been due before that was missed by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import uuid5

from loguru import logger

from commands.jobs import RequestJob
from domain.events import Actor, Envelope
from domain.ports.events import Clock, EventLog, Execute
from domain.ports.jobs import Calendar
from domain.schedule import Schedule


class RunSchedules:
    """Looks each `poll_seconds`, which is how late a job may be."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        schedules: Sequence[Schedule],
        calendar: Calendar,
        actor: Actor,
        clock: Clock,
        poll_seconds: float = 1.0,
    ) -> None:
        self._log = log
        self._execute = execute
        self._schedules = schedules
        self._calendar = calendar
        self._actor = actor
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._asked: dict[str, datetime] = {}
        self._beginning: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What goes wrong is tried again at the next turn."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.ask)
            except Exception:
                logger.exception("could not ask for the jobs that are due; trying again in {} s", self._poll_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll_seconds)

    def ask(self) -> None:
        """For each job that is due and was not asked for by this process yet."""
        if self._beginning is None:
            first = next(iter(self._log.read(0)), None)
            self._beginning = first.recorded_at if first else None
        if self._beginning is None:
            return
        now = self._clock()
        for schedule in self._schedules:
            tick = self._calendar.last(schedule.cron, now)
            if tick and tick > self._beginning and tick != self._asked.get(schedule.name):
                self._request(schedule, tick)
                self._asked[schedule.name] = tick

    def _request(self, schedule: Schedule, tick: datetime) -> None:
        id = schedule.job_at(tick)
        request = RequestJob(schedule.kind, schedule.payload, id=id, schedule=schedule.name)
        self._execute(request, Envelope(self._actor, correlation_id=id, command_id=uuid5(id, "request")))
