"""What endless work does with the event that tells it to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

PATIENCE_SECONDS = 6.0


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` and cancels it once `stop` is set; again and again where a library swallows that, as nats-py does now
    and then. Raises what the work raises."""
    job = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            job.result()
    finally:
        stopped.cancel()
        while not job.done():
            job.cancel()
            await asyncio.wait({job}, timeout=PATIENCE_SECONDS)


async def pause(end: asyncio.Event, seconds: float) -> None:
    """Sleeps, but not past `end`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(end.wait(), seconds)
