"""The end of the log, watched once for all clients of this process, and joined to its history without a seam.

Positions are in commit order, so what a client has not read by history comes after the tail's position when the client
subscribes: it reads the gap between the two, then the queue, and skips what both hold.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from anyio import to_thread
from loguru import logger

POLL_SECONDS = 0.5
RETRY_SECONDS = 1.0
STALE_SECONDS = 5.0
"""How old the tail's last look at the log may be before streams count as broken."""
IDLE_SECONDS = 1.0
PAGE = 500
QUEUE = 1000
"""How many events a client may lag behind the tail before it is told to come back."""


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
    ) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One event, encoded once for all clients."""

    position: int
    type: str
    aggregate: UUID
    text: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Frame:
        """`event`: a CloudEvent."""
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        return cls(event["position"], event["type"], UUID(event["subject"]), text)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing more that the client wants happened up to `position`: from there it may resume."""

    position: int

    @property
    def text(self) -> str:
        return json.dumps({"type": "heartbeat", "position": self.position})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client follows; empty and None: all."""

    types: tuple[str, ...] = ()
    aggregate: UUID | None = None

    def __contains__(self, frame: Frame) -> bool:
        return (not self.types or frame.type in self.types) and self.aggregate in (None, frame.aggregate)


class Subscription:
    """What one client has still to read of what happened after `since`."""

    def __init__(self, wanted: Wanted, since: int) -> None:
        self.since = since
        self._wanted = wanted
        self._waiting: asyncio.Queue[Frame] = asyncio.Queue(QUEUE)
        self._overflown = False

    def offer(self, frame: Frame) -> None:
        """Never blocks: one slow client must not hold up the others."""
        if frame in self._wanted and not self._overflown:
            try:
                self._waiting.put_nowait(frame)
            except asyncio.QueueFull:
                self._overflown = True

    async def next(self) -> Frame | None:
        """The next event; None when there was none for a second. Raises TooSlow once events had to be left out."""
        if self._overflown:
            raise TooSlow
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._waiting.get()
        except TimeoutError:
            return None if self._waiting.empty() else self._waiting.get_nowait()


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
        self._subscriptions: set[Subscription] = set()

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

    async def follow(self, wanted: Wanted, after: int | None) -> AsyncGenerator[Frame | Heartbeat]:
        """Every wanted event after that position, each once, in order: history first, then live for ever (after None:
        live only). Yields a Heartbeat whenever nothing happened for a second. Raises TooSlow."""
        await self._started.wait()
        position = self._position if after is None else after
        async for frame in self._history(wanted, position, upto=None):
            position = frame.position
            yield frame
        with self._subscribed(wanted) as live:
            async for frame in self._history(wanted, position, live.since):
                position = frame.position
                yield frame
            while True:
                arrived = await live.next()
                if arrived is None:
                    position = max(position, self._position)
                    yield Heartbeat(position)
                elif arrived.position > position:
                    position = arrived.position
                    yield arrived

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
        for frame in frames:
            self._position = frame.position
            for subscription in self._subscriptions:
                subscription.offer(frame)
        return len(frames) == PAGE

    async def _skip(self) -> bool:
        """Nobody waits for the events, and to read them all would be dear. The last one shows where the log ends, and
        that it can be read. Returns whether somebody waits by now: who came meanwhile gets what happened meanwhile."""
        newest = await to_thread.run_sync(lambda: self._feed.page(newest_first=True, limit=1))
        if newest and not self.has_clients:
            self._position = newest[0]["position"]
        return self.has_clients

    async def _history(self, wanted: Wanted, after: int, upto: int | None) -> AsyncGenerator[Frame]:
        while True:
            frames = await self._page(wanted, after, upto)
            for frame in frames:
                yield frame
            if len(frames) < PAGE:
                return
            after = frames[-1].position

    async def _page(self, wanted: Wanted, after: int, upto: int | None) -> Sequence[Frame]:
        def read() -> Sequence[Frame]:
            events = self._feed.page(after, upto, wanted.types, wanted.aggregate, limit=PAGE)
            return [Frame.of(event) for event in events]

        return await to_thread.run_sync(read)

    @contextmanager
    def _subscribed(self, wanted: Wanted) -> Iterator[Subscription]:
        subscription = Subscription(wanted, self._position)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
