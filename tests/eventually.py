"""Waiting for what another task, thread or process does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], bool], within_seconds: float = 60, every_seconds: float = 0.01) -> None:
    """Raises TimeoutError when the condition does not come true in time."""
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110 - it may become true outside of this event loop
            await asyncio.sleep(every_seconds)
