"""Counts the events that could not be handled, so that nobody finds them by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from loguru import logger

from commands.policies.held_job import Attempt
from domain.job import Json

Counts = Callable[[], Mapping[str, int]]


class ParkedReport:
    """`read_models` and `policies` say how many events each of them has parked."""

    def __init__(self, read_models: Counts, policies: Counts) -> None:
        self._read_models = read_models
        self._policies = policies

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """`read_models` and `policies`: the parked events of those that have any. `events`: in all."""
        found = {
            kind: {name: events for name, events in sorted(counts().items()) if events}
            for kind, counts in (("read_models", self._read_models), ("policies", self._policies))
        }
        events = sum(sum(counts.values()) for counts in found.values())
        if events:
            logger.warning("{} events are parked: {}; `caravan projections parked` tells why", events, found)
        return {"events": events, **found}
