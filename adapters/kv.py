"""Buckets of values by key, in NATS JetStream: kept for a while, to save work, and nothing that anybody depends on.

Nothing here fails. What cannot be had is a miss: while NATS is away, wiped, or lets us do nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, TypeVar

from loguru import logger
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NoStreamResponseError, NotFoundError
from nats.js.kv import KeyValue

from adapters.bell import connected
from adapters.nats import DEDUPLICATION_SECONDS
from adapters.stopping import unless

T = TypeVar("T")

ANSWER_SECONDS = 1.0
REST_SECONDS = 5.0
"""After NATS did not answer: until then nobody waits for it again."""
CLOSE_SECONDS = 5.0
HEADROOM = 1024
"""Of the largest message that NATS takes, for the subject and headers (bytes)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Each value is forgotten `seconds` after it was put; beyond `most_bytes` of all of them, the oldest are."""

    name: str
    seconds: float
    most_bytes: int

    @property
    def stream(self) -> str:
        """The stream that holds it."""
        return f"KV_{self.name}"

    @property
    def subjects(self) -> str:
        """Those of its values."""
        return f"$KV.{self.name}.>"


async def declare(jetstream: JetStreamContext, bucket: Bucket) -> None:
    """Makes the bucket, or brings it to what it should be. nats-py's own buckets refuse values once they are full."""
    config = StreamConfig(
        name=bucket.stream,
        subjects=[bucket.subjects],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=bucket.seconds,
        max_bytes=bucket.most_bytes,
        max_msgs_per_subject=1,
        allow_direct=True,
        deny_delete=True,
        duplicate_window=min(DEDUPLICATION_SECONDS, bucket.seconds),
    )
    try:
        await jetstream.add_stream(config)
    except BadRequestError:  # it is there, with another configuration
        await jetstream.update_stream(config)


class KeyValues:
    """One bucket, for threads (`get`, `put`, `delete`) and for coroutines of any loop (`find`, `keep`). The connection
    and its own thread begin with the first use, or before it with `connect`; `close` it when done."""

    def __init__(self, nats_url: str, bucket: Bucket) -> None:
        self.bucket = bucket
        self._url = nats_url
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._closed = False
        self._stop = asyncio.Event()
        self._there = asyncio.Event()
        self._client: Client | None = None
        self._declared = False
        self._rests_until = 0.0
        self._well = True

    def connect(self) -> None:
        """Does not wait until it is. Whoever asks for something later need not spend their second on it."""
        with self._lock:
            if not self._closed and self._loop is None:
                self._start()

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none, or it cannot be had."""
        return self._ask(lambda: self._get(key), None).result()

    def put(self, key: str, value: bytes) -> bool:
        """Keeps the value, in place of any other. Whether that worked."""
        return self._ask(lambda: self._put(key, value), False).result()

    def delete(self, key: str) -> bool:
        """Forgets the value. Whether that worked."""
        return self._ask(lambda: self._delete(key), False).result()

    async def find(self, key: str) -> bytes | None:
        """As `get`."""
        return await asyncio.wrap_future(self._ask(lambda: self._get(key), None))

    async def keep(self, key: str, value: bytes) -> bool:
        """As `put`."""
        return await asyncio.wrap_future(self._ask(lambda: self._put(key, value), False))

    def close(self) -> None:
        """From now on everything is a miss."""
        with self._lock:
            if self._loop and not self._closed:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._closed = True
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    async def _get(self, key: str) -> bytes | None:
        try:
            return (await (await self._values()).get(key)).value
        except (NotFoundError, NoRespondersError):  # the latter where there is no bucket
            return None

    async def _put(self, key: str, value: bytes) -> bool:
        values = await self._values()
        if self._client and len(value) + HEADROOM > self._client.max_payload:
            return False
        if not self._declared:
            await self._declare()
        try:
            await values.put(key, value)
        except NoStreamResponseError:
            await self._declare()
            await values.put(key, value)
        return True

    async def _delete(self, key: str) -> bool:
        try:
            return await (await self._values()).delete(key)
        except NoStreamResponseError:  # there is no bucket, and no value
            return True

    async def _declare(self) -> None:
        await declare(self._jetstream(), self.bucket)
        self._declared = True

    async def _values(self) -> KeyValue:
        await self._there.wait()
        prefix = self.bucket.subjects.removesuffix(">")
        return KeyValue(self.bucket.name, self.bucket.stream, prefix, self._jetstream(), direct=True)

    def _jetstream(self) -> JetStreamContext:
        if self._client is None or not self._client.is_connected:
            raise ConnectionError("there is no connection to it")
        return self._client.jetstream(timeout=ANSWER_SECONDS)

    def _ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> Future[T]:
        with self._lock:
            if self._closed or time.monotonic() < self._rests_until:
                answer: Future[T] = Future()
                answer.set_result(otherwise)
                return answer
            return asyncio.run_coroutine_threadsafe(self._in_time(question, otherwise), self._loop or self._start())

    async def _in_time(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await question()
        except Exception as error:  # of any kind: whoever asks goes on without an answer
            self._rests_until = time.monotonic() + REST_SECONDS
            if self._well:
                logger.warning(
                    "going on without the bucket {}, until NATS lets us use it: {!r}; if NATS is up, does its account "
                    "have {}?",
                    self.bucket.name,
                    error,
                    self.bucket.subjects,
                )
            self._well = False
            return otherwise
        if not self._well:
            logger.info("the bucket {} can be used again", self.bucket.name)
        self._well = True
        return answer

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = Thread(target=self._run, args=[loop], name=f"kv-{self.bucket.name}", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with closing(loop):
            try:
                loop.run_until_complete(unless(self._stop, connected(self._url, self._hold)))
            except Exception:
                logger.exception("the bucket {} cannot be used any more", self.bucket.name)
            with self._lock:
                self._closed = True
            loop.run_until_complete(asyncio.sleep(0))  # so that what was asked just before is among the tasks
            if left := asyncio.all_tasks(loop):
                loop.run_until_complete(asyncio.wait(left, timeout=2 * ANSWER_SECONDS))

    async def _hold(self, client: Client) -> Any:
        self._client, self._declared = client, False
        self._there.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._client = None
