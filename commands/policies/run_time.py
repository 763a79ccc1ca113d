"""Ends a run when its time is up, in the middle of whatever its models are saying."""

from __future__ import annotations

import asyncio

from loguru import logger

from commands.policies.held_run import HeldRun
from commands.policies.patience import StoreUnavailable
from domain.errors import AlreadyDone, LeaseLost
from domain.limits import Limit, TimeLeft
from domain.workflow import RunPaused

PAUSED_SECONDS = 1.0
"""Between two looks at a run whose time stands still."""


async def keep_time(held: HeldRun) -> None:
    """Returns when the run is ended, or is not ours any more. Whether its time is up is for the run to say: it may have
    been paused and resumed meanwhile."""
    left = held.run.seconds_left(held.run.modified_on)
    while left is not None:
        await asyncio.sleep(left)
        try:
            await held.end_at(Limit.SECONDS)
        except TimeLeft as not_yet:
            left = not_yet.seconds
        except RunPaused:
            left = PAUSED_SECONDS
        except (LeaseLost, AlreadyDone, StoreUnavailable):
            return
        else:
            logger.warning("run {} ends, as its time is up", held.id)
            held.give_up("the time of the run is up")
            return
