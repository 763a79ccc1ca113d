"""The intake: a run is handled once at a time, and one that fails comes again after the others."""

from __future__ import annotations

import asyncio
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.policies.intake import Intake


async def test_a_run_that_is_offered_twice_waits_once() -> None:
    intake, stop, handled = Intake(put_back_seconds=0), asyncio.Event(), []
    first, last = uuid7(), uuid7()
    for run in (first, first, last):
        intake.offer(run)

    async def handle(run: UUID) -> None:
        handled.append(run)
        intake.offer(run)  # it is in hand: still known
        if run == last:
            stop.set()

    async for run in intake.offered(stop):
        await intake.handled(run, handle)
    assert handled == [first, last]


async def test_the_oldest_run_comes_first_whenever_it_was_found() -> None:
    intake, stop, handled = Intake(put_back_seconds=0), asyncio.Event(), []
    old, new, newest = uuid7(), uuid7(), uuid7()
    intake.offer(new)
    intake.offer(newest)

    async def handle(run: UUID) -> None:
        handled.append(run)
        if run == new:
            intake.offer(old)  # its worker was given up only now
        if run == newest:
            stop.set()

    async for run in intake.offered(stop):
        await intake.handled(run, handle)
    assert handled == [new, old, newest]


async def test_a_run_that_cannot_be_handled_comes_again_after_those_that_wait() -> None:
    intake, stop, tried = Intake(put_back_seconds=0), asyncio.Event(), []
    broken, sound = uuid7(), uuid7()
    intake.offer(broken)
    intake.offer(sound)

    async def handle(run: UUID) -> None:
        tried.append(run)
        if tried == [broken]:
            raise ConnectionError("the database is away")
        if run == broken:
            stop.set()

    async for run in intake.offered(stop):
        await intake.handled(run, handle)
    assert tried == [broken, sound, broken]


async def test_a_run_that_was_handled_may_be_offered_again() -> None:
    intake, stop, handled = Intake(put_back_seconds=0), asyncio.Event(), []
    run = uuid7()
    intake.offer(run)

    async def handle(run: UUID) -> None:
        handled.append(run)

    async for offered in intake.offered(stop):
        await intake.handled(offered, handle)
        intake.offer(run)
        if len(handled) == 2:
            stop.set()
    assert handled == [run, run]
