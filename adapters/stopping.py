"""What endless work does with the event that tells it to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` and cancels it once `stop` is set. Raises what the work raises."""
    job = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            job.result()
    finally:
        job.cancel()
        stopped.cancel()
        await asyncio.wait({job, stopped})


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, but not past `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
