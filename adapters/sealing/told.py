"""What NATS was told of the newest events, sealed or not: a witness outside of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Self

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from adapters.cloud_events import CloudEvent
from adapters.nats import CONNECT_SECONDS, STREAM, SUBJECTS

LONGEST = 10_000
"""Messages to be asked for at most, the newest ones."""

ENVELOPE = (
    *("id", "type", "subject", "time", "position", "version", "schemaversion", "project"),
    *("actor", "actorkind", "correlationid", "causationid", "commandid", "traceparent", "datasubjects"),
)
"""Attributes of a CloudEvent that every release tells alike; another one than this may have told NATS."""
DATA = ("data", "data_base64")


class Heard(NamedTuple):
    """What is kept of a CloudEvent: digests of envelope and data. `data` is None where it was told by reference."""

    envelope: bytes
    data: bytes | None

    @classmethod
    def of(cls, event: CloudEvent) -> Self:
        return cls(_digest(event, ENVELOPE), None if "dataref" in event else _digest(event, DATA))


Told = dict[int, Heard]
"""By position."""


async def told_lately(nats_url: str) -> Told | None:
    """The newest events in the stream, as it last heard of them; None where NATS cannot be asked."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await nats.connect(nats_url, max_reconnect_attempts=1, reconnect_time_wait=0.1, error_cb=_untold)
        try:
            return await _newest(client.jetstream())
        finally:
            await client.close()
    except (NatsError, OSError, TimeoutError, KeyError, TypeError, ValueError):
        return None


async def _untold(_error: Exception) -> None:
    """The library would log it; that NATS cannot be asked is our answer."""


async def _newest(stream: JetStreamContext) -> Told:
    """Messages that have expired, or were deleted, are passed over."""
    found: Told = {}
    state = (await stream.stream_info(STREAM)).state
    pending = state.messages
    first = max(1, state.first_seq, state.last_seq - LONGEST + 1)
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    messages = await stream.subscribe(f"{SUBJECTS}.>", stream=STREAM, ordered_consumer=True, config=config)
    while pending:
        message = await messages.next_msg(CONNECT_SECONDS)
        event = json.loads(message.data)
        found[event["position"]] = Heard.of(event)
        pending = message.metadata.num_pending
    return found


def _digest(event: CloudEvent, names: Sequence[str]) -> bytes:
    return sha256(json.dumps([event.get(name) for name in names], sort_keys=True).encode()).digest()
