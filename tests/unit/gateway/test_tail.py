"""The seam between history and the live end: each position once, in order, wherever a client joins or comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import tail as tails
from gateway.tail import Frame, Heartbeat, Tail, TailStopped, TooSlow, Wanted
from projections.failures import OUTAGES

ONE, OTHER = UUID(int=1), UUID(int=2)


class Log:
    """An event log in memory. Positions have gaps, as after rollbacks."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def append(self, count: int = 1, type: str = "workflow.started", aggregate: UUID = ONE) -> None:
        for _ in range(count):
            position = self.head() + random.choice([1, 1, 1, 4])
            self.events.append({"position": position, "type": type, "subject": str(aggregate)})

    def head(self) -> int:
        return int(self.events[-1]["position"]) if self.events else 0

    def page(
        self,
        after: int = 0,
        upto: int | None = None,
        types: Sequence[str] = (),
        aggregate: UUID | None = None,
        limit: int = 500,
        newest_first: bool = False,
    ) -> Sequence[Mapping[str, Any]]:
        return [
            event
            for event in (reversed(self.events) if newest_first else self.events)
            if event["position"] > after
            and (upto is None or event["position"] <= upto)
            and (not types or event["type"] in types)
            and (aggregate is None or event["subject"] == str(aggregate))
        ][:limit]

    def positions(self, after: int = 0) -> list[int]:
        return [event["position"] for event in self.events if event["position"] > after]


@asynccontextmanager
async def running(log: Log) -> AsyncIterator[Tail]:
    tail = Tail(log, seconds=0.001)
    task = asyncio.create_task(tail.run())
    yield tail
    task.cancel()


async def test_a_ring_makes_it_look_before_it_would_by_itself() -> None:
    log = Log()
    log.append(1)
    tail = Tail(log, seconds=600)
    task = asyncio.create_task(tail.run())
    following = asyncio.create_task(take(tail, 2, after=0))
    while not tail.has_clients:  # noqa: ASYNC110 - the tail has no event for it
        await asyncio.sleep(0.001)
    log.append(1)
    tail.wake()
    assert await following == log.positions()
    task.cancel()


async def take(tail: Tail, count: int, after: int | None, wanted: Wanted = Wanted()) -> list[int]:  # noqa: B008
    found: list[int] = []
    async with asyncio.timeout(10), aclosing(tail.follow(wanted, after)) as frames:
        async for frame in frames:
            if isinstance(frame, Frame):
                found.append(frame.position)
            if len(found) == count:
                break
    return found


async def drain(frames: AsyncIterator[object]) -> None:
    async for _ in frames:
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.integers(0, 40), bursts=st.lists(st.integers(1, 12), max_size=12), visits=st.data())
def test_a_client_that_comes_and_goes_at_random_gets_each_position_once(
    before: int, bursts: list[int], visits: st.DataObject
) -> None:
    async def scenario() -> None:
        log = Log()
        log.append(before)
        async with running(log) as tail:

            async def write() -> None:
                for burst in bursts:
                    log.append(burst)
                    await asyncio.sleep(0.001)

            writing = asyncio.create_task(write())
            seen: list[int] = []
            total = before + sum(bursts)
            while len(seen) < total:
                count = visits.draw(st.integers(1, total - len(seen)))
                seen += await take(tail, count, after=seen[-1] if seen else 0)
            await writing
        assert seen == log.positions()

    original, tails.PAGE = tails.PAGE, 5
    try:
        asyncio.run(scenario())
    finally:
        tails.PAGE = original


async def test_what_happens_between_history_and_the_live_end_is_not_lost() -> None:
    log = Log()
    log.append(2)
    async with asyncio.timeout(10), running(log) as tail, aclosing(tail.follow(Wanted(), 0)) as frames:
        # The client holds its last piece of history while the tail moves past what it has not read yet.
        seen = [await anext(frames), await anext(frames)]
        log.append(3)
        await asyncio.sleep(0.05)
        while len(seen) < 5:
            seen.append(await anext(frames))
    assert [frame.position for frame in seen] == log.positions()


async def test_without_clients_only_the_last_event_is_read() -> None:
    class Counted(Log):
        read = 0

        def page(self, *args: Any, **named: Any) -> Sequence[Mapping[str, Any]]:
            found = super().page(*args, **named)
            self.read = max(self.read, len(found))
            return found

    log = Counted()
    async with running(log) as tail:
        log.append(5)
        await asyncio.sleep(0.05)
        assert (log.read, tail._position) == (1, log.head())


async def test_who_comes_while_it_looks_for_the_end_misses_nothing_until_there() -> None:
    class Slow(Log):
        looking, look_on = Event(), Event()

        def page(self, *args: Any, **named: Any) -> Sequence[Mapping[str, Any]]:
            if "newest_first" in named and self.looking.is_set():
                self.look_on.wait(10)
            return super().page(*args, **named)

    log = Slow()
    async with running(log) as tail:
        await asyncio.sleep(0.01)
        log.looking.set()
        following = asyncio.create_task(take(tail, 2, after=None))
        while not tail.has_clients:  # noqa: ASYNC110 - the tail has no event for it
            await asyncio.sleep(0.001)
        log.append(2)
        log.look_on.set()
        assert await following == log.positions()


async def test_without_a_position_a_client_hears_only_what_is_new() -> None:
    log = Log()
    log.append(5)
    async with running(log) as tail:
        taking = asyncio.create_task(take(tail, 2, after=None))
        await asyncio.sleep(0.05)
        old = log.head()
        log.append(2)
        assert await taking == log.positions(after=old)


async def test_a_client_gets_only_the_types_and_the_run_that_it_wants() -> None:
    log = Log()
    log.append(2, "workflow.started", ONE)
    log.append(1, "workflow.failed", ONE)
    log.append(1, "workflow.failed", OTHER)
    async with running(log) as tail:
        wanted = Wanted(("workflow.failed",), OTHER)
        taking = asyncio.create_task(take(tail, 2, 0, wanted))
        await asyncio.sleep(0.05)
        log.append(1, "workflow.failed", ONE)
        log.append(1, "workflow.failed", OTHER)
        assert await taking == [log.events[3]["position"], log.events[5]["position"]]


async def test_a_client_that_does_not_read_is_told_so_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "QUEUE", 10)
    log = Log()
    log.append(1)
    async with running(log) as tail, aclosing(tail.follow(Wanted(), 0)) as slow:
        await anext(slow)
        log.append(1)
        await anext(slow)
        log.append(50)
        assert await take(tail, 50, log.positions()[1]) == log.positions()[2:]
        await asyncio.sleep(0.05)
        with pytest.raises(TooSlow):
            await drain(slow)


async def test_a_client_that_left_is_forgotten() -> None:
    log = Log()
    log.append(1)
    async with running(log) as tail:
        assert await take(tail, 1, 0) == log.positions()
        assert not tail._subscriptions


@pytest.mark.parametrize("error", [OUTAGES[0]("gone"), ValueError("an event that nobody can encode")])
async def test_the_tail_goes_on_where_it_was_whatever_went_wrong(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Log):
        failures = 0

        def page(self, *args: Any, **more: Any) -> Sequence[Mapping[str, Any]]:
            if self.failures:
                self.failures -= 1
                raise error
            return super().page(*args, **more)

    monkeypatch.setattr(tails, "RETRY_SECONDS", 0.01)
    log = Failing()
    async with running(log) as tail:
        taking = asyncio.create_task(take(tail, 3, after=None))
        while not tail.has_clients:  # noqa: ASYNC110 - the tail has no event for it
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)  # its history is read
        log.failures = 3
        log.append(3)
        assert await taking == log.positions()


async def test_while_nothing_happens_the_stream_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "IDLE_SECONDS", 0.01)
    async with running(Log()) as tail, aclosing(tail.follow(Wanted(), None)) as frames:
        assert await anext(frames) == Heartbeat(0)


async def test_a_heartbeat_says_how_far_a_filtered_client_need_not_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "IDLE_SECONDS", 0.05)
    log = Log()
    log.append(1, "workflow.failed")
    log.append(3, "workflow.started")
    async with running(log) as tail, aclosing(tail.follow(Wanted(("workflow.failed",)), 0)) as frames:
        first = await anext(frames)
        assert first.position == log.positions()[0]
        assert await anext(frames) == Heartbeat(log.head())
        log.append(5, "workflow.started")
        assert await anext(frames) == Heartbeat(log.head())


async def test_a_tail_that_cannot_read_says_so_to_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Log):
        def page(self, *args: Any, **more: Any) -> Sequence[Mapping[str, Any]]:
            raise ValueError("no such column")

    monkeypatch.setattr(tails, "STALE_SECONDS", 0.1)
    async with running(Log()) as works, running(Broken()) as stands:
        await asyncio.sleep(0.2)
        works.probe()
        with pytest.raises(TailStopped, match="no such column"):
            stands.probe()
