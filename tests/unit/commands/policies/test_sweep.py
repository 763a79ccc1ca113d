"""The sweep: what nobody does is offered, again and again, whatever happens to the store."""

from __future__ import annotations

import asyncio
from uuid import UUID

from commands.policies.sweep import Sweep
from tests.builders import an_id


async def test_what_nobody_does_is_offered_at_every_turn() -> None:
    stop, offered = asyncio.Event(), list[UUID]()

    def offer(id: UUID) -> None:
        offered.append(id)
        if len(offered) == 4:
            stop.set()

    await asyncio.wait_for(Sweep(lambda: [an_id("one"), an_id("two")], offer, every_seconds=0.01).run(stop), 60)
    assert offered == [an_id("one"), an_id("two")] * 2


async def test_a_store_that_cannot_be_reached_is_asked_again() -> None:
    stop, answers = asyncio.Event(), [ConnectionError("no database"), None]

    def find() -> list[UUID]:
        if error := answers.pop(0):
            raise error
        return [an_id("one")]

    offered: list[UUID] = []

    def offer(id: UUID) -> None:
        offered.append(id)
        stop.set()

    await asyncio.wait_for(Sweep(find, offer, every_seconds=0.01).run(stop), 60)
    assert offered == [an_id("one")]
