"""The end of the log, watched once for all clients of this process, and joined to its history without a seam.

Positions are in commit order, so what a client has not read by history comes after the tail's position when the client
subscribes: it reads the gap between the two, then the queue, and skips what both hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol
from uuid import UUID

from anyio import to_thread
from loguru import logger

from gateway.frames import Delta, Frame, Heartbeat, Message, Wanted

POLL_SECONDS = 0.5
RETRY_SECONDS = 1.0
STALE_SECONDS = 5.0
"""How old the tail's last look at the log may be before streams count as broken."""
IDLE_SECONDS = 1.0
REST_SECONDS = 0.0001
"""After events were handed out, for each client that was told, which takes about half of it. What happens meanwhile is
told together: with few clients nobody waits, and with many they cannot keep the process from all else."""
PAGE = 500
QUEUE = 1000
"""How many events a client may lag behind the tail before it is told to come back."""
DELTAS = 100
"""How much a client may lag behind before it is told no more of what is not recorded yet."""
RECORDED = 10_000
"""How many steps are known to be recorded, so that no late delta of one is told."""


class TooSlow(Exception):
    """The client does not read as fast as events arrive."""


class TailStopped(Exception):
    """Streams say nothing, because nobody reads the log for them."""


class EventFeed(Protocol):
    """Pages of CloudEvents by position (adapters/event_feed.py)."""

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
    ) -> Sequence[Mapping[str, Any]]: ...

    def runs_of(self, batch: UUID) -> Sequence[UUID]: ...


class Subscription:
    """What one client has still to read of what happened after `since`."""

    def __init__(self, wanted: Wanted, since: int) -> None:
        self.wanted = wanted
        self.since = since
        self._waiting: list[Frame | Delta] = []
        self._woken: asyncio.Future[None] | None = None
        self._overflown = False

    def offer(self, frames: Sequence[Frame]) -> None:
        """Never blocks: one slow client must not hold up the others."""
        if not self._overflown:
            self._waiting += frames
            self._overflown = len(self._waiting) > QUEUE
            self.wake()

    def mention(self, delta: Delta) -> None:
        """Nothing that a client must have: one that lags behind goes without. To be followed by `wake`."""
        if len(self._waiting) < DELTAS:
            self._waiting.append(delta)

    def wake(self) -> None:
        """Whoever waits for the next."""
        if self._woken and not self._woken.done():
            self._woken.set_result(None)

    async def next(self) -> Sequence[Frame | Delta]:
        """All that came, in order; nothing when nothing came for a second. Raises TooSlow once the client lags too far
        behind."""
        if not self._waiting:
            await self._something()
        if self._overflown:
            raise TooSlow
        arrived, self._waiting = self._waiting, []
        return arrived

    async def _something(self) -> None:
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        idle = loop.call_later(IDLE_SECONDS, self.wake)
        try:
            await self._woken
        finally:
            idle.cancel()
            self._woken = None


class Tail:
    """Reads the log's end, when it is woken and now and then without, and hands each event to every subscription;
    without any it reads only the last event. `run` it as a task for as long as clients may come."""

    def __init__(self, feed: EventFeed, seconds: float = POLL_SECONDS) -> None:
        self._feed = feed
        self._seconds = seconds
        self._position = 0
        self._looked_at: float | None = None
        self._failure: Exception | None = None
        self._started = asyncio.Event()
        self._woken = asyncio.Event()
        self._subscriptions: dict[Wanted, set[Subscription]] = {}
        self._batches: dict[UUID, set[UUID]] = {}
        self._recorded: dict[UUID, None] = {}
        self._telling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong is tried again, and then it goes on where it was."""
        while True:
            try:
                await self._step()
            except Exception as error:
                self._failure = error
                logger.opt(exception=error).error("the tail cannot read the log after position {}", self._position)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._looked_at, self._failure = time.monotonic(), None

    def wake(self) -> None:
        """There is something new. Without clients it can wait."""
        if self.has_clients:
            self._woken.set()

    def mention(self, delta: Delta) -> None:
        """To those who want to hear what is said in that run, after a rest like that between events."""
        clients = 0
        for subscription in self._listeners():
            if delta in subscription.wanted:
                subscription.mention(delta)
                clients += 1
        if clients and self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(clients * REST_SECONDS, self._tell)

    @property
    def has_clients(self) -> bool:
        """Whether anybody follows live."""
        return bool(self._subscriptions)

    def probe(self) -> None:
        """Raises TailStopped when the log's end was not seen for long, since streams cannot tell that from quiet."""
        because = f": {type(self._failure).__name__}: {self._failure}" if self._failure else ""
        if self._looked_at is None:
            raise TailStopped(f"the log has not been read yet{because}")
        age = time.monotonic() - self._looked_at
        if age > STALE_SECONDS:
            raise TailStopped(f"the log has not been read for {age:.0f} s, since position {self._position}{because}")

    async def follow(
        self, wanted: Wanted, after: int | None, hearing: AbstractContextManager[None] | None = None
    ) -> AsyncGenerator[Sequence[Message]]:
        """Every wanted event after that position, each once, in order: history first, then live for ever (after None:
        live only). What there is already comes together, as it is best sent; a Heartbeat comes alone, whenever nothing
        happened for a second. `hearing` is entered once deltas would reach the client. Raises TooSlow."""
        await self._started.wait()
        position = self._position if after is None else after
        async for frames in self._history(wanted, position, upto=None):
            position = frames[-1].position
            yield frames
        with self._subscribed(wanted) as live, hearing or nullcontext():
            async for frames in self._history(wanted, position, live.since):
                position = frames[-1].position
                yield frames
            while True:
                arrived = await live.next()
                if not arrived:
                    position = max(position, self._position)
                    yield [Heartbeat.at(position)]
                elif new := [message for message in arrived if self._is_new(message, position)]:
                    position = max([position, *(message.position for message in new if isinstance(message, Frame))])
                    yield new

    def _is_new(self, message: Frame | Delta, position: int) -> bool:
        """To a client that is that far. Nothing is said of a step any more once it is recorded."""
        return message.position > position if isinstance(message, Frame) else message.step not in self._recorded

    async def _step(self) -> None:
        self._woken.clear()
        more = await (self._hand_out() if self.has_clients else self._skip())
        self._started.set()
        if not more:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._seconds)

    async def _hand_out(self) -> bool:
        """Returns whether there is more."""
        frames = await self._page(Wanted(), self._position, None)
        if frames:
            await self._know_runs(frames)
            self._position = frames[-1].position
            clients = sum(self._offer(wanted, frames) for wanted in self._subscriptions)
            await asyncio.sleep(clients * REST_SECONDS)
        return len(frames) == PAGE

    def _offer(self, wanted: Wanted, frames: Sequence[Frame]) -> int:
        """Returns how many clients were told; what they want is looked for once, since many want the same."""
        subscriptions, found = self._subscriptions[wanted], [frame for frame in frames if self._concerns(frame, wanted)]
        if not found:
            return 0
        for subscription in subscriptions:
            subscription.offer(found)
        return len(subscriptions)

    def _concerns(self, frame: Frame, wanted: Wanted) -> bool:
        batch = wanted.batch
        return frame in wanted and (
            batch is None or frame.aggregate == batch or frame.aggregate in self._batches[batch]
        )

    async def _know_runs(self, frames: Sequence[Frame]) -> None:
        """Of the batches that somebody follows, those who came meanwhile too. A batch asks for a run before there is
        any other event of it."""
        while unknown := self._followed_batches() - self._batches.keys():
            for batch in unknown:
                runs = set(await to_thread.run_sync(self._feed.runs_of, batch))
                if batch in self._followed_batches():  # else nobody would keep up with it
                    self._batches[batch] = runs
        for frame in frames:
            if frame.run and frame.aggregate in self._batches:
                self._batches[frame.aggregate].add(frame.run)

    def _followed_batches(self) -> set[UUID]:
        return {wanted.batch for wanted in self._subscriptions if wanted.batch}

    async def _skip(self) -> bool:
        """Nobody waits for the events, and to read them all would be dear. The last one shows where the log ends, and
        that it can be read. Returns whether somebody waits by now: who came meanwhile gets what happened meanwhile."""
        newest = await to_thread.run_sync(lambda: self._feed.page(newest_first=True, limit=1))
        if newest and not self.has_clients:
            self._position = newest[0]["position"]
        return self.has_clients

    async def _history(self, wanted: Wanted, after: int, upto: int | None) -> AsyncGenerator[Sequence[Frame]]:
        """Page by page, none of them empty."""
        while True:
            frames = await self._page(wanted, after, upto)
            if frames:
                yield frames
            if len(frames) < PAGE:
                return
            after = frames[-1].position

    async def _page(self, wanted: Wanted, after: int, upto: int | None) -> Sequence[Frame]:
        def read() -> Sequence[Frame]:
            events = self._feed.page(
                after, upto, wanted.types, wanted.aggregate, limit=PAGE, agent=wanted.agent, batch=wanted.batch
            )
            return [Frame.of(event) for event in events]

        frames = await to_thread.run_sync(read)
        self._recorded |= {frame.step: None for frame in frames if frame.step}
        while len(self._recorded) > RECORDED:
            del self._recorded[next(iter(self._recorded))]
        return frames

    def _tell(self) -> None:
        self._telling = None
        for subscription in self._listeners():
            subscription.wake()

    def _listeners(self) -> Iterator[Subscription]:
        for wanted, subscriptions in self._subscriptions.items():
            if wanted.deltas:
                yield from subscriptions

    @contextmanager
    def _subscribed(self, wanted: Wanted) -> Iterator[Subscription]:
        subscription = Subscription(wanted, self._position)
        alike = self._subscriptions.setdefault(wanted, set())
        alike.add(subscription)
        try:
            yield subscription
        finally:
            alike.discard(subscription)
            if not alike:
                self._subscriptions.pop(wanted, None)
                if wanted.batch:
                    self._batches.pop(wanted.batch, None)  # who follows it besides has it read anew
