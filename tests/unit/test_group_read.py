"""Group reads, on a reading of our own: who is read for together, and what each task is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from threading import Event

import pytest

from adapters import group_read
from adapters.group_read import GroupRead


class Shelf:
    """Holds of each number its double, and of a negative one nothing. Who reads of 13 fails. Waits to be `free`."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.free = Event()
        self.free.set()
        self.reached = Event()

    def read(self, keys: Collection[int]) -> Mapping[int, int]:
        self.reads.append(sorted(keys))
        self.reached.set()
        self.free.wait(60)
        if 13 in keys:
            raise LookupError("13")
        return {key: 2 * key for key in keys if key >= 0}


class Uncopied(Exception):
    def __init__(self, one: str, another: str) -> None:
        super().__init__(f"{one} {another}")


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.free.set()


async def asked_while_one_reads(shelf: Shelf, reads: GroupRead[int, int], *keys: int) -> list[asyncio.Task[int | None]]:
    """The first reads; the others ask meanwhile."""
    shelf.free.clear()
    tasks = [asyncio.create_task(reads.get(keys[0]))]
    await asyncio.to_thread(shelf.reached.wait, 60)
    tasks += [asyncio.create_task(reads.get(key)) for key in keys[1:]]
    await asyncio.sleep(0.01)
    return tasks


async def test_who_asks_while_a_read_is_under_way_is_in_the_next_one_together(shelf: Shelf) -> None:
    tasks = await asked_while_one_reads(shelf, GroupRead(shelf.read), 1, 1, 2, 2, -3)
    shelf.free.set()
    assert await asyncio.gather(*tasks) == [2, 2, 4, 4, None]
    assert shelf.reads == [[1], [-3, 1, 2]]


async def test_a_read_that_fails_is_told_to_all_who_are_in_it_and_to_nobody_else(shelf: Shelf) -> None:
    reads = GroupRead(shelf.read)
    tasks = await asked_while_one_reads(shelf, reads, 1, 13, 2, 2)
    shelf.free.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert first == 2
    assert [str(error) for error in others] == ["13"] * 3
    assert await reads.get(2) == 4


async def test_a_task_that_is_cancelled_spoils_it_for_nobody(shelf: Shelf) -> None:
    reads = GroupRead(shelf.read)
    tasks = await asked_while_one_reads(shelf, reads, 1, 2, 2)
    tasks[0].cancel()
    tasks[1].cancel()
    shelf.free.set()
    assert await tasks[2] == 4


async def test_a_read_that_hangs_holds_up_nobody_who_asked_after_it_began(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_read, "HANGS_SECONDS", 0.05)
    dead = Event()
    shelf.free = dead
    reads = GroupRead(shelf.read)
    hanging = asyncio.create_task(reads.get(1))
    await asyncio.to_thread(shelf.reached.wait, 60)
    shelf.free = Event()
    shelf.free.set()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(reads.get, [1, 2])) == [2, 4]
    assert not hanging.done()
    dead.set()
    assert await hanging == 2


@pytest.mark.parametrize("error", [StopIteration(), Uncopied("one", "two")], ids=repr)
async def test_whatever_a_read_raises_nobody_waits_for_ever(error: Exception) -> None:
    def read(keys: Collection[int]) -> Mapping[int, int]:
        raise error

    reads = GroupRead(read)
    async with asyncio.timeout(60):
        told = await asyncio.gather(reads.get(1), reads.get(2), return_exceptions=True)
    assert all(isinstance(each, BaseException) for each in told)


def test_it_outlives_an_event_loop_that_ended_in_the_middle_of_a_read(shelf: Shelf) -> None:
    reads = GroupRead(shelf.read)

    async def leave() -> None:
        await asked_while_one_reads(shelf, reads, 1, 2)
        shelf.free.set()

    asyncio.run(leave())
    assert asyncio.run(reads.get(3)) == 6
