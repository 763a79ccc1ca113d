"""What NATS was told of the newest events, sealed or not: a witness outside of the database."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from adapters.nats import CONNECT_SECONDS, STREAM, SUBJECTS

LONGEST = 10_000
"""Messages to be asked for at most, the newest ones."""

Told = dict[int, dict[str, Any]]
"""CloudEvents by position."""


async def told_lately(nats_url: str) -> Told | None:
    """The newest events in the stream, as it last heard of them; None where NATS cannot be asked."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await nats.connect(nats_url, max_reconnect_attempts=1, reconnect_time_wait=0.1)
        try:
            return await _newest(client.jetstream())
        finally:
            await client.close()
    except (NatsError, OSError, TimeoutError, KeyError, TypeError, ValueError):
        return None


async def _newest(stream: JetStreamContext) -> Told:
    """Messages that have expired, or were deleted, are passed over."""
    found: Told = {}
    state = (await stream.stream_info(STREAM)).state
    pending = state.messages
    first = max(1, state.first_seq, state.last_seq - LONGEST + 1)
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    messages = await stream.subscribe(f"{SUBJECTS}.>", stream=STREAM, ordered_consumer=True, config=config)
    while pending:
        message = await messages.next_msg()
        event = json.loads(message.data)
        found[event["position"]] = event
        pending = message.metadata.num_pending
    return found
