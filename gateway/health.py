"""Whether it runs, whether it can work, and what exactly does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

from anyio import to_thread
from loguru import logger
from pydantic import BaseModel, Field

PROBE_SECONDS = 3.0


class Check(BaseModel):
    """One part, tried just now."""

    name: str = Field(examples=["postgres"])
    state: Literal["ok", "failed"]
    latency_ms: float
    detail: str = Field(description="Why it failed; empty otherwise")


async def check_all(probes: Mapping[str, Callable[[], None]]) -> list[Check]:
    """Tries every part at the same time; none takes longer than three seconds."""
    return list(await asyncio.gather(*(check(name, probe) for name, probe in probes.items())))


async def check(name: str, probe: Callable[[], None]) -> Check:
    """Tries one part."""
    began = time.perf_counter()
    detail = ""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await to_thread.run_sync(probe, abandon_on_cancel=True)
    except TimeoutError:
        detail = f"it did not answer within {PROBE_SECONDS:.0f} seconds"
    except Exception as error:
        logger.warning("health: {} failed: {}: {}", name, type(error).__name__, error)
        detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    latency = round((time.perf_counter() - began) * 1000, 2)
    return Check(name=name, state="failed" if detail else "ok", latency_ms=latency, detail=detail)
