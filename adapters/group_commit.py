"""Group commit: saves that arrive together are committed together, by one thread, in the order of their arrival.

A commit waits for the disk, so committing each save on its own makes all writers share some thousand waits a second.
Here whoever arrives while a commit is under way goes into the next one; a lone writer is committed at once. After a
group, the callers that it released come back at about the same moment: the next group waits a moment for half of them,
so that in the end one half prepares its next saves while the other half's are committed. (PostgreSQL's
`commit_siblings` and `commit_delay` make one session wait for others in the same way.)

A large save goes in a group of its own, and small ones have a turn between two large ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from threading import Condition, Lock, Thread
from typing import Generic, TypeVar

from eventsourcing.persistence import OperationalError

S = TypeVar("S")
R = TypeVar("R")

MOST_WAITING = 10_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Saves, and what they hold. Who comes then waits for room."""
ROOM_SECONDS = 5.0
MOST_TOGETHER = 1_000
MOST_BYTES = 1024 * 1024
LARGE = MOST_BYTES // 4
"""Bytes of one save."""
CLOSE_SECONDS = 8.0
GATHER_SECONDS = 0.0005
FIRST_LOOK_SECONDS = 0.005
LONGEST_LOOK_SECONDS = 0.25
"""A task looks for room after the first, and then half as often each time, up to the second: many may be waiting."""


class QueueFull(OperationalError):
    """More is written than the database takes."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} saves wait for the database already: try again in a moment")


class Closed(OperationalError):
    """The store was closed, and writes no more."""

    def __init__(self) -> None:
        super().__init__("the event store is closed")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[S, R]):
    """A save, and who waits for it: a thread, or a task of that event loop."""

    save: S
    bytes: int
    future: Future[R] | asyncio.Future[R]
    loop: asyncio.AbstractEventLoop | None = None


class GroupCommit(Generic[S, R]):
    """`commit` writes a group of saves in one transaction, and says of each what came of it: a result, or the error
    with which it failed alone. `size` tells a save's bytes. The thread starts with the first save."""

    def __init__(self, commit: Callable[[Sequence[S]], Sequence[R | Exception]], size: Callable[[S], int]) -> None:
        self._commit = commit
        self._size = size
        self._small: deque[_Waiting[S, R]] = deque()
        self._large: deque[_Waiting[S, R]] = deque()
        self._bytes = 0  # of all that wait
        self._lock = Lock()
        self._work = Condition(self._lock)
        self._room = Condition(self._lock)
        self._large_is_next = False
        self._awaited = 1  # how many saves are worth waking the writer
        self._closed = False
        self._thread: Thread | None = None

    def save(self, save: S) -> R:
        """Blocks until the save is committed. Raises its error, QueueFull or Closed."""
        future: Future[R] = Future()
        waiting = _Waiting(save, self._size(save), future)
        with self._lock:
            if not self._room.wait_for(self._has_room, ROOM_SECONDS):
                raise QueueFull(self.waiting)
            self._put(waiting)
        return future.result()

    async def save_async(self, save: S) -> R:
        """The same for a task: the event loop goes on meanwhile. A save whose task is cancelled may still be made."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        waiting = _Waiting(save, self._size(save), future, loop)
        if not self._offer(waiting):
            await self._offer_again(waiting)
        return await future

    def close(self) -> None:
        """Commits what waits, and takes no more. During an outage it does not wait for its end."""
        with self._lock:
            self._closed = True
            self._work.notify()
            self._room.notify_all()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    @property
    def waiting(self) -> int:
        """How many saves wait."""
        return len(self._small) + len(self._large)

    # --- callers' side

    async def _offer_again(self, waiting: _Waiting[S, R]) -> None:
        deadline = time.monotonic() + ROOM_SECONDS
        pause = FIRST_LOOK_SECONDS
        while not self._offer(waiting):
            if time.monotonic() > deadline:
                raise QueueFull(self.waiting)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)

    def _offer(self, waiting: _Waiting[S, R]) -> bool:
        with self._lock:
            if room := self._has_room():
                self._put(waiting)
            return room

    def _has_room(self) -> bool:
        return self._closed or (self.waiting < MOST_WAITING and self._bytes < MOST_WAITING_BYTES)

    def _put(self, waiting: _Waiting[S, R]) -> None:
        if self._closed:
            raise Closed
        if self._thread is None:
            thread = Thread(target=self._run, name="group-commit", daemon=True)
            thread.start()
            self._thread = thread
        (self._large if waiting.bytes > LARGE else self._small).append(waiting)
        self._bytes += waiting.bytes
        if len(self._small) >= self._awaited or self._large:
            self._work.notify()

    # --- the writer's side

    def _run(self) -> None:
        expected = 1
        while group := self._next(expected):
            expected = (len(group) + 1) // 2
            try:
                outcomes = self._commit([waiting.save for waiting in group])
            except Exception as error:
                group += self._give_up()
                outcomes = [copy(error) for _ in group]
            _deliver(zip(group, outcomes, strict=True))

    def _next(self, expected: int) -> list[_Waiting[S, R]]:
        """The next group; empty once closed and done."""
        with self._lock:
            self._work.wait_for(lambda: self._small or self._large or self._closed)
            if len(self._small) < expected and not self._large:
                self._awaited = expected
                self._work.wait_for(lambda: len(self._small) >= expected or self._closed, GATHER_SECONDS)
                self._awaited = 1
            group = self._take()
            self._bytes -= sum(waiting.bytes for waiting in group)
            self._room.notify_all()
        return group

    def _give_up(self) -> list[_Waiting[S, R]]:
        """All that wait: what kept the last group from being written would keep them waiting as long, one by one."""
        with self._lock:
            waiting = [*self._small, *self._large]
            self._small.clear()
            self._large.clear()
            self._bytes = 0
            self._room.notify_all()
        return waiting

    def _take(self) -> list[_Waiting[S, R]]:
        if self._large and (self._large_is_next or not self._small):
            self._large_is_next = False
            return [self._large.popleft()]
        self._large_is_next = True
        group: list[_Waiting[S, R]] = []
        room = MOST_BYTES
        while self._small and len(group) < MOST_TOGETHER and (room := room - self._small[0].bytes) >= 0:
            group.append(self._small.popleft())
        return group


def _deliver(settled: Iterable[tuple[_Waiting[S, R], R | Exception]]) -> None:
    """Threads are woken one by one; the tasks of an event loop all at once."""
    tasks = defaultdict(list)
    for waiting, outcome in settled:
        if waiting.loop is None:
            _settle(waiting.future, outcome)
        else:
            tasks[waiting.loop].append((waiting.future, outcome))
    for loop, futures in tasks.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle_all, futures)


def _settle_all(settled: Iterable[tuple[Future[R] | asyncio.Future[R], R | Exception]]) -> None:
    for future, outcome in settled:
        _settle(future, outcome)


def _settle(future: Future[R] | asyncio.Future[R], outcome: R | Exception) -> None:
    if future.cancelled():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
