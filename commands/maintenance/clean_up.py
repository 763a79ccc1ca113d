"""Removes what finished work and dead processes left behind. Of what is history nothing is ever removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Protocol

from commands.policies.held_job import Attempt
from domain.job import Json


class Leftovers(Protocol):
    """A place where things are left: a cache, a folder, a table that is no history."""

    name: ClassVar[str]

    def remove(self, logs_older_than: timedelta) -> int:
        """Removes what nobody needs any more, and says how many things that were. Logs of what is over stay for so
        long."""


class CleanUp:
    """Goes from place to place. Another cache is another place."""

    def __init__(self, places: Sequence[Leftovers]) -> None:
        self._places = places

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """How many things were removed, by place."""
        removed: Json = {}
        for place in self._places:
            attempt.heartbeat(f"looks at {place.name}")
            removed[place.name] = place.remove(timedelta(days=payload["log_days"]))
        return removed
