"""The names of events that a caller may ask for."""

from __future__ import annotations

from collections.abc import Iterable

from domain.catalogue import EVENT_TYPES, aggregate_topic
from domain.errors import Invalid


def event_types(named: Iterable[str]) -> tuple[str, ...]:
    """Every type that is meant: `workflow` means all of the aggregate's. Raises Invalid for one that does not exist."""
    meant: list[str] = []
    for name in named:
        types = [topic for topic in EVENT_TYPES if name in (topic, aggregate_topic(topic))]
        if not types:
            raise Invalid(f"no event is called {name!r}; there is {', '.join(sorted(EVENT_TYPES))}")
        meant += types
    return tuple(dict.fromkeys(meant))
