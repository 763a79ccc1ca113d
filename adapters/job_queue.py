"""The work queue of jobs, over NATS JetStream: one subject for each queue and priority, whose messages carry ids alone.

The state of a job is in Postgres. So the queue may lose, repeat or forget messages, or be wiped: jobs are offered
again, and one that was handed over twice is started once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from faststream import AckPolicy as Acknowledging
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.nats.subscriber.usecases import PullStreamSubscriber
from loguru import logger
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from adapters.backoff import Backoff
from adapters.nats import CONNECT_SECONDS, OUTAGES, WATCH_SECONDS, Forgotten
from adapters.patient_fetch import make_patient
from adapters.stopping import pause, unless
from domain.job import Priority
from domain.ports.jobs import QueueAway, WaitingJob

STREAM = "JOBS"
SUBJECTS = "jobs"
DEDUPLICATION_SECONDS = 10
ACK_SECONDS = 10
"""After which a job that was handed over, and neither taken nor given back, is handed to the next."""
BATCH = 500

GLANCE_SECONDS = 0.01
"""How long to wait for a job of a higher priority while there may be others. One that comes later is the next."""
WAIT_SECONDS = 0.2
CLOSE_SECONDS = 1.0
LOW_FIRST_EVERY = 8
"""Of so many times, the lowest priority is served first once: however much there is of the others, it gets on."""


@dataclass(frozen=True, slots=True)
class _HandedOver:
    """Fulfils domain.ports.jobs.Handed."""

    job: UUID
    message: NatsMessage

    async def done(self) -> None:
        """The queue forgets it. Where that cannot be told, it comes again, and is not started again."""
        with suppress(*OUTAGES):
            await self.message.ack()

    async def later(self, seconds: float) -> None:
        """It comes again, to whoever asks."""
        with suppress(*OUTAGES):
            await self.message.nack(delay=seconds)


@dataclass(frozen=True, slots=True)
class _Open:
    """A connection, and where it takes from."""

    broker: NatsBroker
    jetstream: JetStreamContext
    subscribers: Mapping[tuple[str, Priority], PullStreamSubscriber]
    turns: Iterator[int] = field(default_factory=count)


class JetStreamJobs:
    """Fulfils domain.ports.jobs.JobQueue, for as long as it `run`s. `queues`: those that may be taken from."""

    def __init__(self, url: str, queues: Collection[str]) -> None:
        self._url = url
        self._queues = tuple(queues)
        self._open: _Open | None = None
        self._users = 0
        self._unused = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A server that is down, restarted or wiped is a pause, not an end."""
        backoff = Backoff(first=0.2, ceiling=5.0)
        while not stop.is_set():
            try:
                await unless(stop, self._serve(stop, backoff))
            except Forgotten as reason:
                logger.warning("NATS has forgotten {}; declaring it again", reason)
            except OUTAGES as error:
                logger.warning("the work queue is away: {!r}", error)
            await pause(stop, backoff.next_delay())

    async def held(self) -> int:
        """How many messages it holds, whether handed over or not. Raises QueueAway."""
        with self._used() as opened:
            return (await opened.jetstream.stream_info(STREAM)).state.messages

    async def offer(self, jobs: Sequence[WaitingJob]) -> None:
        """Puts them in, each attempt once within some seconds. Raises QueueAway."""
        with self._used() as opened:
            for first in range(0, len(jobs), BATCH):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.gather(*(_publish(opened.broker, job) for job in jobs[first : first + BATCH]))

    async def take(self, queue: str) -> _HandedOver | None:
        """The next of that queue. Raises QueueAway."""
        with self._used() as opened:
            priorities = list(Priority)
            if next(opened.turns) % LOW_FIRST_EVERY == LOW_FIRST_EVERY - 1:
                priorities.reverse()
            for priority in priorities:
                seconds = WAIT_SECONDS if priority is priorities[-1] else GLANCE_SECONDS
                message = await opened.subscribers[queue, priority].get_one(timeout=seconds)
                if message and (job := await _job_of(message)):
                    return _HandedOver(job, message)
        return None

    @contextmanager
    def _used(self) -> Iterator[_Open]:
        """The connection, which is not closed meanwhile: nats-py would wait for an answer that cannot come any more.
        Raises QueueAway where there is none, or it fails."""
        if self._open is None:
            raise QueueAway("there is no connection to NATS")
        self._users += 1
        try:
            yield self._open
        except OUTAGES as error:
            raise QueueAway(repr(error)) from error
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def _close(self, broker: NatsBroker) -> None:
        self._open = None
        self._unused.clear()
        if self._users:
            await pause(self._unused, CLOSE_SECONDS)
        with suppress(*OUTAGES):
            async with asyncio.timeout(CONNECT_SECONDS):
                await broker.stop()

    async def _serve(self, stop: asyncio.Event, backoff: Backoff) -> None:
        """Raises Forgotten, or one of OUTAGES."""
        broker = NatsBroker(self._url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=1, connect_timeout=2)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await broker.connect()
            jetstream = broker.config.connection_state.stream
            make_patient(jetstream)
            await _declare(jetstream)
            for queue, priority in self._places():
                await jetstream.add_consumer(STREAM, _consumer(queue, priority))
            created = (await jetstream.stream_info(STREAM)).created
            self._open = _Open(broker, jetstream, dict(self._subscribers(broker)))
            await broker.start()
            backoff.reset()
            while not stop.is_set():
                await pause(stop, WATCH_SECONDS)
                await self._look_after(jetstream, created)
        finally:
            await self._close(broker)

    def _places(self) -> Iterator[tuple[str, Priority]]:
        return ((queue, priority) for queue in self._queues for priority in Priority)

    def _subscribers(self, broker: NatsBroker) -> Iterator[tuple[tuple[str, Priority], PullStreamSubscriber]]:
        for queue, priority in self._places():
            yield (
                (queue, priority),
                broker.subscriber(
                    subject=_subject(queue, priority),
                    stream=JStream(STREAM, declare=False),
                    durable=_durable(queue, priority),
                    config=_consumer(queue, priority),
                    pull_sub=PullSub(batch_size=1),
                    ack_policy=Acknowledging.MANUAL,
                ),
            )

    async def _look_after(self, jetstream: JetStreamContext, created: object) -> None:
        known = {consumer.name for consumer in await jetstream.consumers_info(STREAM)}
        if missing := {_durable(*place) for place in self._places()} - known:
            raise Forgotten(", ".join(sorted(missing)))
        if (await jetstream.stream_info(STREAM)).created != created:
            raise Forgotten(STREAM)


async def _declare(jetstream: JetStreamContext) -> None:
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECTS}.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.WORK_QUEUE,
        duplicate_window=DEDUPLICATION_SECONDS,
    )
    try:
        await jetstream.add_stream(config)
    except BadRequestError:  # it is there, with another configuration
        await jetstream.update_stream(config)


def _consumer(queue: str, priority: Priority) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=_durable(queue, priority),
        filter_subject=_subject(queue, priority),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_SECONDS,
    )


def _subject(queue: str, priority: Priority) -> str:
    return f"{SUBJECTS}.{queue}.{priority}"


def _durable(queue: str, priority: Priority) -> str:
    return f"{queue}-{priority}"


async def _publish(broker: NatsBroker, job: WaitingJob) -> None:
    headers = {"Nats-Msg-Id": f"{job.job}/{job.epoch}"}
    await broker.publish(str(job.job), _subject(job.queue, job.priority), headers=headers, stream=STREAM)


async def _job_of(message: NatsMessage) -> UUID | None:
    try:
        return UUID(bytes(message.body).decode())
    except ValueError:
        logger.warning("something else than our dispatcher publishes on {}.>: {!r}", SUBJECTS, message.body[:100])
        await message.ack()
        return None
