"""How a process of several endless jobs begins and ends."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine
from typing import Any

Job = Coroutine[Any, Any, None]


async def together(*jobs: Job) -> None:
    """Until all end. One that fails ends the others, and the process: the supervisor starts it afresh."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job)


def stopped_by_signals() -> asyncio.Event:
    """Is set by SIGTERM and SIGINT. Must be called on the event loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def collect_rarely() -> None:
    """Has Python look for garbage in cycles after 50,000 new objects rather than 700, and never among those that are
    there already: modules and classes stay. A batch of events is many objects and not one cycle: a projector would
    spend a third of its time looking, and stand still for a tenth of a second whenever it looks everywhere."""
    gc.set_threshold(50_000)
    gc.collect()
    gc.freeze()
