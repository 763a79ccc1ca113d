"""Wakes those who read the log as soon as something is appended to it: over core NATS, whose messages nobody keeps.

A ring only says of which topics there are new events. One that is lost costs time alone, for readers look by
themselves too, now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import closing, suppress
from threading import Lock, Thread
from typing import Any

import nats
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.nats import OUTAGES
from adapters.stopping import unless

SUBJECT = "appended"
REST_SECONDS = 0.0005
"""Between two rings. What is appended meanwhile is told by the second one."""
RECONNECT_SECONDS = 1
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

        async def hear(client: Client) -> None:
            await subscribe(client, heard)
            await asyncio.Event().wait()

        await unless(stop, connected(self._url, hear))

    def close(self) -> None:
        """Rings no more."""
        with self._lock:
            if self._loop and not self._closed:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._closed = True
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = Thread(target=self._run, args=[loop], name="bell", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with closing(loop):
            loop.run_until_complete(unless(self._stop, connected(self._url, self._ring_on)))

    async def _ring_on(self, client: Client) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            with self._lock:
                rung, self._rung = self._rung, set()
            await _publish(client, rung)
            await asyncio.sleep(REST_SECONDS)


async def subscribe(client: Client, heard: Heard) -> None:
    """Hears the bell over that connection, for as long as it lasts."""

    async def hear(message: Msg) -> None:
        heard(message.subject.removeprefix(f"{SUBJECT}."))

    await client.subscribe(f"{SUBJECT}.>", cb=hear)


async def connected(url: str, use: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Uses a connection to NATS, however long it takes to have one; and again, whenever it is lost, or given up by
    nats-py, as after an error that the server tells."""

    async def lost(error: Exception) -> None:
        logger.debug("no connection to NATS: {!r}", error)

    while True:
        given_up = asyncio.Event()

        async def give_up(given_up: asyncio.Event = given_up) -> None:
            given_up.set()

        with suppress(*OUTAGES):
            client = await nats.connect(
                url,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_SECONDS,
                connect_timeout=2,
                error_cb=lost,
                closed_cb=give_up,
            )
            try:
                await unless(given_up, use(client))
            finally:
                await client.close()
        await asyncio.sleep(RECONNECT_SECONDS)


async def _publish(client: Client, topics: Iterable[str]) -> None:
    if client.is_connected:
        with suppress(*OUTAGES):
            for topic in topics:
                await client.publish(f"{SUBJECT}.{topic}")
