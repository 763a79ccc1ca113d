"""Outliving an outage of the store: what is worth another try is tried again, for some minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from loguru import logger

from domain.errors import DomainError

T = TypeVar("T")

DELAYS = (0.5, 1, 2, 4, 8, *[15] * 20)
"""Seconds between tries; five minutes in all, so that a database can restart and recover."""


def patiently(action: Callable[[], T]) -> T:
    """What the action returns. It must be harmless to repeat.

    Raises the domain's refusals at once, since they are final, and anything else when all tries are used up.
    """
    for delay in DELAYS:
        try:
            return action()
        except DomainError:
            raise
        except Exception as error:
            logger.warning("{}: {}; trying again in {} s", type(error).__name__, error, delay)
            time.sleep(delay)
    return action()
