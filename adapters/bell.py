"""Wakes those who read the log as soon as something is appended to it: over core NATS, whose messages nobody keeps.

A ring only says of which topics there are new events. One that is lost costs time alone, for readers look by
themselves too, now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock, Thread

import nats
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.nats import OUTAGES
from adapters.stopping import unless

SUBJECT = "appended"
REST_SECONDS = 0.002
"""Between two rings. What is appended meanwhile is told by the second one."""
CLOSE_SECONDS = 5.0

Heard = Callable[[str], None]
"""Told the topic of which there are new events, e.g. `workflow.requested`."""


class Bell:
    """`ring` it from any thread; whoever `listen`s hears it, in any process. `close` it when done."""

    def __init__(self, nats_url: str) -> None:
        self._url = nats_url
        self._lock = Lock()
        self._rung: set[str] = set()
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def ring(self, topics: Iterable[str]) -> None:
        """Never waits and never fails; the thread that does it starts with the first ring."""
        with self._lock:
            if self._closed:
                return
            was_quiet = not self._rung
            self._rung.update(topics)
            loop = self._loop or self._start()
        if was_quiet:
            loop.call_soon_threadsafe(self._woken.set)

    async def listen(self, stop: asyncio.Event, heard: Heard) -> None:
        """Until `stop` is set."""
        await unless(stop, self._hear(heard))

    def close(self) -> None:
        """Rings no more."""
        with self._lock:
            self._closed = True
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_SECONDS)

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.new_event_loop()
        ringing = unless(self._stop, self._ring_on())
        self._thread = Thread(target=self._loop.run_until_complete, args=[ringing], name="bell", daemon=True)
        self._thread.start()
        return self._loop

    async def _ring_on(self) -> None:
        client = await _connect(self._url)
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                with self._lock:
                    rung, self._rung = self._rung, set()
                await _publish(client, rung)
                await asyncio.sleep(REST_SECONDS)
        finally:
            await client.close()

    async def _hear(self, heard: Heard) -> None:
        client = await _connect(self._url)
        try:
            await subscribe(client, heard)
            await asyncio.Event().wait()
        finally:
            await client.close()


async def subscribe(client: Client, heard: Heard) -> None:
    """Hears the bell over that connection, for as long as it lasts."""

    async def hear(message: Msg) -> None:
        heard(message.subject.removeprefix(f"{SUBJECT}."))

    await client.subscribe(f"{SUBJECT}.>", cb=hear)


async def _connect(url: str) -> Client:
    """However long it takes; and again, whenever the connection is lost."""

    async def lost(error: Exception) -> None:
        logger.debug("the bell has no NATS: {!r}", error)

    return await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=1, connect_timeout=2, error_cb=lost)


async def _publish(client: Client, topics: Iterable[str]) -> None:
    if client.is_connected:
        with suppress(*OUTAGES):
            for topic in topics:
                await client.publish(f"{SUBJECT}.{topic}")
