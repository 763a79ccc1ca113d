"""Plain functions on an event loop, which goes on while they wait.

Handlers are plain functions: whoever reads or tests one need not think of tasks. A thread for each command would cost
more than all that the command does. So on a loop they run as greenlets, as SQLAlchemy's asyncio extension runs its
own plain code: where one has to wait, it hands the wait up to the loop, and goes on from there afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from anyio import to_thread
from sqlalchemy.util.concurrency import await_, greenlet_spawn, in_greenlet

R = TypeVar("R")
Given = TypeVarTuple("Given")


async def on_loop(function: Callable[[*Given], R], *given: *Given) -> R:
    """`function(*given)`. What it does between its waits is done on the loop: no long calculations."""
    return await greenlet_spawn(function, *given)


def is_on_loop() -> bool:
    """Whether the caller was called by `on_loop`, and may wait with `wait_for`."""
    return in_greenlet()


def wait_for(awaitable: Awaitable[R]) -> R:
    """What becomes of it."""
    return await_(awaitable)


def blocking(function: Callable[[*Given], R], *given: *Given) -> R:
    """`function(*given)`, which blocks: here, or in another thread where this one is a loop's."""
    return await_(to_thread.run_sync(function, *given)) if in_greenlet() else function(*given)


def pause(seconds: float) -> None:
    """Waits for so long, as `time.sleep` does in a thread."""
    if in_greenlet():
        await_(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)
