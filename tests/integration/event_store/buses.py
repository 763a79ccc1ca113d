"""Commands to an event store, and what they left there."""

from __future__ import annotations

from adapters.event_store import PostgresEventStore
from adapters.loop_waits import pause
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.kinds import KINDS
from commands.preferences import ProposePreference
from tests.builders import a_pair
from tests.fakes import BASE_MODELS, JsonRoster

PROPOSE = ProposePreference(a_pair())


def a_bus(store: PostgresEventStore) -> CommandBus:
    return CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store, pause)


def names(store: PostgresEventStore) -> list[str]:
    return [recorded.type for recorded in store.read()]
