"""Watches the file agents.yaml for as long as the gateway runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from anyio import to_thread
from loguru import logger

from gateway.bootstrap import Core
from projections.failures import OUTAGES

LOOK_SECONDS = 1.0


async def watch_agents_file(core: Core, stop: asyncio.Event) -> None:
    """Until `stop` is set; not at all where the settings say so. What goes wrong is tried again."""
    if core.settings.agents_sync == "off":
        return
    while not stop.is_set():
        try:
            await to_thread.run_sync(core.agents_file.look)
        except OUTAGES:
            logger.debug("agents.yaml waits for the database")
        except Exception:
            logger.exception("agents.yaml could not be compared with its revisions, and will be again")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
