"""Group commit, on a commit of our own: who is committed together, in what order, and what each caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import group_commit
from adapters.group_commit import LARGE, Closed, GroupCommit, QueueFull

Groups = list[list[int]]


class Disk:
    """Commits numbers: what came of one is its double, and of a negative one an error. Holds while it is `busy`."""

    def __init__(self) -> None:
        self.groups: Groups = []
        self.free = Event()
        self.free.set()
        self.reached = Event()

    def commit(self, saves: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(saves))
        self.reached.set()
        self.free.wait()
        return [ValueError(f"{save}") if save < 0 else 2 * save for save in saves]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> Iterator[GroupCommit[int, int]]:
    with closing(GroupCommit[int, int](disk.commit, size=lambda save: save)) as writer:
        yield writer
        disk.free.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def while_busy(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor, *saves: int
) -> list[Future[int]]:
    """Asks for these saves, one after another, while the disk is busy with another, 0."""
    disk.free.clear()
    futures = [threads.submit(writer.save, 0)]
    disk.reached.wait()
    for save in saves:
        waiting = writer.waiting
        futures.append(threads.submit(writer.save, save))
        while writer.waiting == waiting:
            pass
    return futures


def test_a_lone_save_is_committed_at_once(disk: Disk, writer: GroupCommit[int, int]) -> None:
    assert [writer.save(1), writer.save(2)] == [2, 4]
    assert disk.groups == [[1], [2]]


def test_saves_that_arrive_during_a_commit_go_together_into_the_next(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor
) -> None:
    futures = while_busy(disk, writer, threads, 3, 1, 2)
    disk.free.set()
    assert [future.result() for future in futures] == [0, 6, 2, 4]
    assert disk.groups == [[0], [3, 1, 2]]


def test_a_save_that_is_refused_fails_alone(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor
) -> None:
    _, sound, refused, other = while_busy(disk, writer, threads, 1, -2, 3)
    disk.free.set()
    assert (sound.result(), other.result()) == (2, 6)
    with pytest.raises(ValueError, match="-2"):
        refused.result()


def test_a_commit_that_fails_as_a_whole_is_told_to_all_and_the_next_one_is_made(threads: ThreadPoolExecutor) -> None:
    outcomes: Iterator[Exception | list[int]] = iter([ConnectionError("gone"), [7]])

    def commit(saves: Sequence[int]) -> list[int]:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with closing(GroupCommit[int, int](commit, size=lambda save: save)) as writer:
        with pytest.raises(ConnectionError):
            writer.save(1)
        assert writer.save(1) == 7


def test_what_keeps_one_group_from_being_written_is_told_to_all_that_wait(
    disk: Disk, threads: ThreadPoolExecutor
) -> None:
    def commit(saves: Sequence[int]) -> list[int | Exception]:
        disk.commit(saves)
        raise ConnectionError("gone")

    with closing(GroupCommit[int, int](commit, size=lambda save: save)) as writer:
        futures = while_busy(disk, writer, threads, 1, LARGE + 1, LARGE + 2)
        disk.free.set()
        errors = [future.exception() for future in futures]
    assert [str(error) for error in errors] == ["gone"] * 4
    assert len(set(map(id, errors))) == 4
    assert disk.groups == [[0]]


def test_a_large_save_goes_alone_and_small_ones_have_a_turn_between_two_of_them(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor
) -> None:
    one, two, three = LARGE + 1, LARGE + 2, LARGE + 3
    futures = while_busy(disk, writer, threads, one, two, 1, three, 2)
    disk.free.set()
    assert [future.result() for future in futures][1:] == [2 * one, 2 * two, 2, 2 * three, 4]
    assert disk.groups == [[0], [one], [1, 2], [two], [three]]


def test_who_finds_the_queue_full_waits_for_room_and_then_is_told(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING", 2)
    monkeypatch.setattr(group_commit, "ROOM_SECONDS", 0.05)
    futures = while_busy(disk, writer, threads, 1, 2)
    with pytest.raises(QueueFull, match="2 saves wait for the database already: try again"):
        writer.save(3)
    with pytest.raises(QueueFull):
        asyncio.run(writer.save_async(3))
    monkeypatch.setattr(group_commit, "ROOM_SECONDS", 5)
    late = threads.submit(writer.save, 4)
    disk.free.set()
    assert [future.result() for future in [*futures, late]] == [0, 2, 4, 8]


def test_a_queue_that_holds_too_many_bytes_is_full_too(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING_BYTES", 2 * LARGE)
    monkeypatch.setattr(group_commit, "ROOM_SECONDS", 0.05)
    futures = while_busy(disk, writer, threads, LARGE + 1, LARGE + 2)
    with pytest.raises(QueueFull, match="2 saves"):
        writer.save(3)
    with pytest.raises(QueueFull):
        asyncio.run(writer.save_async(3))
    monkeypatch.setattr(group_commit, "ROOM_SECONDS", 5)
    late = [threads.submit(writer.save, save) for save in (4, 5)]
    disk.free.set()
    assert [future.result(60) for future in [*futures, *late]] == [0, 2 * LARGE + 2, 2 * LARGE + 4, 8, 10]
    assert writer._bytes == 0


def test_the_tasks_of_an_event_loop_are_told_like_threads(disk: Disk, writer: GroupCommit[int, int]) -> None:
    async def save_all() -> list[int | BaseException]:
        return await asyncio.gather(*map(writer.save_async, [1, -2, 3]), return_exceptions=True)

    first, refused, last = asyncio.run(save_all())
    assert (first, last) == (2, 6)
    assert isinstance(refused, ValueError)


def test_a_task_that_is_cancelled_harms_nobody(disk: Disk, writer: GroupCommit[int, int]) -> None:
    async def cancel_one_of_two() -> int:
        disk.free.clear()
        going, staying = (asyncio.create_task(writer.save_async(save)) for save in (1, 2))
        await asyncio.sleep(0.01)
        going.cancel()
        disk.free.set()
        return await staying

    assert asyncio.run(cancel_one_of_two()) == 4
    assert writer.save(3) == 6


def test_closing_commits_what_waits_and_refuses_what_comes(
    disk: Disk, writer: GroupCommit[int, int], threads: ThreadPoolExecutor
) -> None:
    futures = while_busy(disk, writer, threads, 1, 2)
    closing_ = threads.submit(writer.close)
    disk.free.set()
    closing_.result()
    assert [future.result() for future in futures] == [0, 2, 4]
    with pytest.raises(Closed, match="closed"):
        writer.save(3)


@given(st.lists(st.integers(-3, 2 * LARGE), max_size=30), st.integers(1, 8))
def test_every_save_is_committed_once_and_each_caller_hears_of_its_own(saves: list[int], callers: int) -> None:
    disk = Disk()
    with ThreadPoolExecutor(callers) as threads, closing(GroupCommit[int, int](disk.commit, size=abs)) as writer:
        futures = [threads.submit(writer.save, save) for save in saves]
        for save, future in zip(saves, futures, strict=True):
            error = future.exception()
            assert (str(error) == str(save)) if save < 0 else future.result() == 2 * save
    assert sorted(save for group in disk.groups for save in group) == sorted(saves)
