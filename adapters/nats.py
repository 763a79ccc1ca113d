"""News of events over NATS JetStream: the stream that carries them, and the desk where subscribers hear them.

Postgres is the truth: a piece of news only tells a subscriber to look. NATS may lose, repeat or forget news, or be
wiped while somebody listens; what is lost by that is time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from faststream import AckPolicy as Acknowledging
from faststream import StreamMessage
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from loguru import logger
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from adapters.backoff import Backoff
from adapters.patient_fetch import make_patient
from adapters.stopping import pause, unless

STREAM = "EVENTS"
SUBJECTS = "events"
DEDUPLICATION_SECONDS = 120
KEPT_SECONDS = 7 * 24 * 3600
KEPT_MESSAGES = 500_000

FETCH_SECONDS = 0.1
"""How long a batch is collected, and so how late news may come."""
WATCH_SECONDS = 1.0
CONNECT_SECONDS = 5.0
ACK_SECONDS = 60
LONGEST_RETRY_SECONDS = 30.0
OUTAGES = (NatsError, OSError, TimeoutError)


class Forgotten(Exception):
    """The server does not know our stream or a consumer of ours any more."""


@dataclass(frozen=True, slots=True)
class News:
    """That an event happened, and where in the log it is."""

    position: int
    type: str
    aggregate_id: UUID
    event_id: UUID
    correlation_id: UUID
    traceparent: str | None

    @classmethod
    def from_cloud_event(cls, event: dict[str, Any]) -> Self:
        """Raises KeyError or ValueError for what no relay of ours has published."""
        return cls(
            position=event["position"],
            type=event["type"],
            aggregate_id=UUID(event["subject"]),
            event_id=UUID(event["id"]),
            correlation_id=UUID(event.get("correlationid", event["subject"])),
            traceparent=event.get("traceparent"),
        )


Handler = Callable[[Sequence[News]], Awaitable[None]]
"""Hears news. When it returns the news is acknowledged; when it raises, the news comes again a little later."""


@dataclass(frozen=True, slots=True)
class _Subscription:
    durable: str
    subjects: tuple[str, ...]
    handler: Handler
    batch: int

    def consumer(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self.durable,
            filter_subjects=list(self.subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
        )


async def declare_stream(jetstream: JetStreamContext) -> None:
    """Makes the stream, or brings it to what it should be."""
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECTS}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=KEPT_SECONDS,
        max_msgs=KEPT_MESSAGES,
        duplicate_window=DEDUPLICATION_SECONDS,
    )
    try:
        await jetstream.add_stream(config)
    except BadRequestError:  # it is there, with another configuration
        await jetstream.update_stream(config)


class NewsDesk:
    """Durable subscriptions: `subscribe`, then `run`. Processes that use one durable name share its news."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._subscriptions: list[_Subscription] = []

    def subscribe(self, durable: str, subjects: Sequence[str], handler: Handler, batch: int = 100) -> None:
        """Takes effect with the next `run`. `subjects` may end in `.>`; they must not overlap."""
        self._subscriptions.append(_Subscription(durable, tuple(subjects), handler, batch))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A server that is down, restarted or wiped is a pause, not an end."""
        backoff = Backoff(first=0.2, ceiling=5.0)
        while not stop.is_set():
            try:
                await unless(stop, self._listen(stop, backoff))
            except Forgotten as reason:
                logger.warning("NATS has forgotten {}; declaring it again", reason)
            except OUTAGES as error:
                logger.warning("no news from NATS: {!r}", error)
            await pause(stop, backoff.next_delay())

    async def _listen(self, stop: asyncio.Event, backoff: Backoff) -> None:
        """Raises Forgotten, or one of OUTAGES."""
        broker = self._broker()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await broker.connect()
            jetstream = broker.config.connection_state.stream
            make_patient(jetstream)
            await declare_stream(jetstream)
            for each in self._subscriptions:
                await jetstream.add_consumer(STREAM, each.consumer())
            await broker.start()
            created = (await jetstream.stream_info(STREAM)).created
            backoff.reset()
            while not stop.is_set():
                await pause(stop, WATCH_SECONDS)
                await self._look_after(jetstream, created)
        finally:
            with suppress(*OUTAGES):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await broker.stop()

    async def _look_after(self, jetstream: JetStreamContext, created: object) -> None:
        known = {consumer.name for consumer in await jetstream.consumers_info(STREAM)}
        missing = [each.durable for each in self._subscriptions if each.durable not in known]
        if missing:
            raise Forgotten(", ".join(missing))
        if (await jetstream.stream_info(STREAM)).created != created:
            raise Forgotten(STREAM)

    def _broker(self) -> NatsBroker:
        async def stop_fetching() -> None:
            for subscriber in broker.subscribers:
                subscriber.running = False  # on a closed connection FastStream's loop would never yield

        broker = NatsBroker(
            self._url,
            logger=None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=2,
            closed_cb=stop_fetching,
        )
        for each in self._subscriptions:
            subscriber = broker.subscriber(
                stream=JStream(STREAM, declare=False),
                durable=each.durable,
                config=each.consumer(),
                pull_sub=PullSub(batch_size=each.batch, timeout=FETCH_SECONDS, batch=True),
                ack_policy=Acknowledging.MANUAL,
                decoder=_undecoded,
            )
            subscriber(_consumer(each))
        return broker


def _consumer(subscription: _Subscription) -> Callable[[NatsMessage], Awaitable[None]]:
    async def consume(message: NatsMessage) -> None:
        raw: Any = message.raw_message
        try:
            await subscription.handler([item for each in raw if (item := _news(each.data))])
        except Exception as error:
            delay = _retry_delay(raw[0].metadata.num_delivered)
            logger.warning(
                "{} failed, and hears the same news again in {:.1f} s: {!r}", subscription.durable, delay, error
            )
            await message.nack(delay=delay)
        else:
            await message.ack()

    return consume


async def _undecoded(message: StreamMessage[Any]) -> Any:
    """FastStream would parse every payload, only for us to do it again."""
    return message.raw_message


def _news(payload: bytes) -> News | None:
    try:
        return News.from_cloud_event(json.loads(payload))
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("something else than our relay publishes on {}.>: {!r}", SUBJECTS, payload[:100])
        return None


def _retry_delay(deliveries: int) -> float:
    """In seconds; doubles with each delivery, with jitter, so that many failures do not come back at once."""
    return Backoff(first=0.5, ceiling=LONGEST_RETRY_SECONDS, failures=deliveries - 1).next_delay()
