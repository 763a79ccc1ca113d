"""The seam between history and the live end: each position once, in order, wherever a client joins or comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import tail as tails
from gateway.frames import RUN_REQUESTED, Delta, Frame, Heartbeat, Message, Wanted
from gateway.tail import Tail, TailStopped, TooSlow
from projections.failures import OUTAGES
from tests.eventually import eventually

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
        *,
        agent: str | None = None,
        batch: UUID | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        members = {str(batch), *map(str, self.runs_of(batch))} if batch else set()
        return [
            event
            for event in (reversed(self.events) if newest_first else self.events)
            if event["position"] > after
            and (upto is None or event["position"] <= upto)
            and (not types or event["type"] in types)
            and (aggregate is None or event["subject"] == str(aggregate))
            and (agent is None or event.get("actor") == agent)
            and (batch is None or event["subject"] in members)
        ][:limit]

    def runs_of(self, batch: UUID) -> list[UUID]:
        asked = [event for event in self.events if event["type"] == RUN_REQUESTED and event["subject"] == str(batch)]
        return [UUID(event["data"]["run"]) for event in asked]

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
    async with asyncio.timeout(60), aclosing(one_by_one(tail.follow(wanted, after))) as frames:
        async for frame in frames:
            if isinstance(frame, Frame):
                found.append(frame.position)
            if len(found) == count:
                break
    return found


async def until_live(tail: Tail) -> None:
    """Somebody is past all history, and waits for what happens next."""
    await eventually(lambda: any(one._woken for alike in tail._subscriptions.values() for one in alike))


async def one_by_one(batches: AsyncGenerator[Sequence[Message]]) -> AsyncGenerator[Any]:
    async with aclosing(batches):
        async for batch in batches:
            for message in batch:
                yield message


async def drain(frames: AsyncIterator[object]) -> None:
    async for _ in frames:
        pass


@settings(max_examples=25, deadline=None)
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
    async with asyncio.timeout(60), running(log) as tail, aclosing(one_by_one(tail.follow(Wanted(), 0))) as frames:
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
        await eventually(lambda: tail._position == log.head())
    assert log.read == 1


async def test_who_comes_while_it_looks_for_the_end_misses_nothing_until_there() -> None:
    class Slow(Log):
        looking, look_on = Event(), Event()

        def page(self, *args: Any, **named: Any) -> Sequence[Mapping[str, Any]]:
            if "newest_first" in named and self.looking.is_set():
                self.look_on.wait(60)
            return super().page(*args, **named)

    log = Slow()
    async with running(log) as tail:
        await tail._started.wait()
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
        await until_live(tail)
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
    async with running(log) as tail, aclosing(one_by_one(tail.follow(Wanted(), 0))) as slow:
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
        await until_live(tail)
        log.failures = 3
        log.append(3)
        assert await taking == log.positions()


def step_recorded(step: UUID) -> dict[str, Any]:
    data = {"step": {"id": str(step)}}
    return {"type": "workflow.step_recorded", "data": data, "actor": "ada", "actorkind": "agent"}


def delta(step: UUID, run: UUID = ONE) -> Delta:
    return Delta("a word", run, step, "ada")


async def next_but_heartbeats(messages: AsyncIterator[Any]) -> Any:
    async for message in messages:
        if not isinstance(message, Heartbeat):
            return message
    raise AssertionError("the stream has ended")


async def test_who_asks_for_it_hears_what_is_said_in_that_run_until_the_step_is_recorded() -> None:
    log, step, later = Log(), UUID(int=7), UUID(int=8)
    wanted = Wanted(aggregate=ONE, agent="ada", deltas=True)
    async with (
        asyncio.timeout(60),
        running(log) as tail,
        aclosing(one_by_one(tail.follow(wanted, 0))) as ours,
        aclosing(one_by_one(tail.follow(Wanted(aggregate=ONE), 0))) as theirs,
    ):
        await all_here(tail, ours, theirs)
        tail.mention(delta(step))
        tail.mention(delta(step, run=OTHER))
        tail.mention(Delta("a word", ONE, step, "eve"))
        assert await next_but_heartbeats(ours) == delta(step)
        log.append(1)
        log.events[-1] |= step_recorded(step)
        log.append(1)
        assert (await next_but_heartbeats(ours)).step == step
        tail.mention(delta(step))
        tail.mention(delta(later))
        assert await next_but_heartbeats(ours) == delta(later)
        assert (await next_but_heartbeats(theirs)).step == step


async def all_here(tail: Tail, *clients: AsyncIterator[Any]) -> None:
    """Each is past its history: its first heartbeat has come."""
    for client in clients:
        assert isinstance(await anext(client), Heartbeat)


async def test_a_delta_that_waits_while_its_step_is_read_from_history_is_not_told_after_it() -> None:
    class Slow(Log):
        reading, read_on = Event(), Event()

        def page(self, *args: Any, **named: Any) -> Sequence[Mapping[str, Any]]:
            if len(args) > 1 and args[1] is not None:  # the gap between history and the live end
                self.reading.set()
                self.read_on.wait(60)
            return super().page(*args, **named)

    log, step, later = Slow(), UUID(int=7), UUID(int=8)
    log.append(1)
    log.events[-1] |= step_recorded(step)
    async with (
        asyncio.timeout(60),
        running(log) as tail,
        aclosing(one_by_one(tail.follow(Wanted(aggregate=ONE, deltas=True), log.head() - 1))) as client,
    ):
        assert (await anext(client)).step == step
        following = asyncio.ensure_future(anext(client))
        await asyncio.to_thread(log.reading.wait, 60)
        tail.mention(delta(step))
        tail.mention(delta(later))
        log.read_on.set()
        assert await following == delta(later)


async def test_a_client_that_lags_behind_loses_deltas_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "DELTAS", 3)
    log = Log()
    async with running(log) as tail, aclosing(one_by_one(tail.follow(Wanted(aggregate=ONE, deltas=True), 0))) as client:
        await all_here(tail, client)
        for number in range(10):
            tail.mention(delta(UUID(int=number)))
        log.append(5)
        await asyncio.sleep(0.1)
        got = [await anext(client) for _ in range(8)]
    assert [message.step.int for message in got[:3]] == [0, 1, 2]
    assert [message.position for message in got[3:]] == log.positions()


async def test_while_nothing_happens_the_stream_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "IDLE_SECONDS", 0.01)
    async with running(Log()) as tail, aclosing(one_by_one(tail.follow(Wanted(), None))) as frames:
        assert await anext(frames) == Heartbeat.at(0)


async def test_a_heartbeat_says_how_far_a_filtered_client_need_not_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "IDLE_SECONDS", 0.05)
    log = Log()
    log.append(1, "workflow.failed")
    log.append(3, "workflow.started")
    async with running(log) as tail, aclosing(one_by_one(tail.follow(Wanted(("workflow.failed",)), 0))) as frames:
        first = await anext(frames)
        assert first.position == log.positions()[0]
        assert await anext(frames) == Heartbeat.at(log.head())
        log.append(5, "workflow.started")
        await eventually(lambda: tail._position == log.head())
        assert await anext(frames) == Heartbeat.at(log.head())


async def test_a_tail_that_cannot_read_says_so_to_whoever_asks() -> None:
    class Broken(Log):
        def page(self, *args: Any, **more: Any) -> Sequence[Mapping[str, Any]]:
            raise ValueError("no such column")

    async with running(Log()) as works, running(Broken()) as stands:
        await eventually(lambda: works._looked_at is not None and stands._failure is not None)
        works.probe()
        with pytest.raises(TailStopped, match="no such column"):
            stands.probe()


async def test_a_batch_is_followed_with_the_runs_that_it_asks_for_before_and_meanwhile() -> None:
    log, batch, other = Log(), uuid4(), uuid4()
    runs = [uuid4() for _ in range(3)]

    def ask(run: UUID, of: UUID = batch) -> None:
        log.append(1, RUN_REQUESTED, of)
        log.events[-1]["data"] = {"run": str(run)}
        log.append(1, "workflow.requested", run)

    ask(runs[0])
    before = log.head()
    ask(runs[1])
    async with running(log) as tail:
        wanted = Wanted(batch=batch)
        from_now_on = asyncio.create_task(take(tail, 5, None, wanted))
        while not tail.has_clients:  # noqa: ASYNC110 - the tail has no event for it
            await asyncio.sleep(0.001)
        since = log.head()
        from_before = asyncio.create_task(take(tail, 7, before, wanted))
        ask(uuid4(), of=other)
        log.append(1, "workflow.started", runs[0])
        ask(runs[2])
        log.append(1, "workflow.completed", runs[2])
        log.append(1, "batch.completed", batch)
        history, live = await asyncio.gather(from_before, from_now_on)
    of_batch = [event for event in log.events if event["subject"] in {str(one) for one in (batch, *runs)}]
    assert history == [event["position"] for event in of_batch if event["position"] > before]
    assert live == [event["position"] for event in of_batch if event["position"] > since]


async def test_who_follows_a_batch_that_somebody_else_left_at_once_misses_none_of_its_runs() -> None:
    log, batch, run = Log(), uuid4(), uuid4()
    looking, left, runs_of = Event(), Event(), log.runs_of

    def slowly(batch: UUID) -> list[UUID]:
        found = runs_of(batch)
        looking.set()
        left.wait(60)
        return found

    async with running(log) as tail:
        with tail._subscribed(Wanted(batch=batch)):
            log.runs_of = slowly  # type: ignore[method-assign]
            log.append()
            await asyncio.to_thread(looking.wait, 60)
        left.set()
        log.append(1, RUN_REQUESTED, batch)
        log.events[-1]["data"] = {"run": str(run)}
        while tail._position < log.head():  # noqa: ASYNC110 - the tail has no event for it
            await asyncio.sleep(0.001)
        following = asyncio.create_task(take(tail, 1, None, Wanted(batch=batch)))
        while not tail.has_clients:  # noqa: ASYNC110 - the tail has no event for it
            await asyncio.sleep(0.001)
        log.append(1, "workflow.completed", run)
        assert await following == [log.head()]
