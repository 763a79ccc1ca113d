"""What NATS was told of the newest events: a witness outside of the database for those that are not sealed yet."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats
from nats.errors import Error as NatsError

from adapters.nats import CONNECT_SECONDS, STREAM

LONGEST = 10_000
"""Events to be asked for at most, the newest ones."""

Told = dict[int, dict[str, Any]]
"""CloudEvents by position."""


async def told_after(nats_url: str, position: int) -> Told | None:
    """The stream's events after that position, as it last heard of them; None where NATS cannot be asked."""
    found: Told = {}
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await nats.connect(nats_url, max_reconnect_attempts=1, reconnect_time_wait=0.1)
        try:
            stream = client.jetstream()
            last = (await stream.stream_info(STREAM)).state.last_seq
            for number in range(last, max(0, last - LONGEST), -1):
                event = json.loads((await stream.get_msg(STREAM, number)).data or b"{}")
                if event["position"] <= position:
                    break
                found.setdefault(event["position"], event)
        finally:
            await client.close()
    except (NatsError, OSError, TimeoutError, KeyError, TypeError, ValueError):
        return None
    return found
