"""Pooled connections are asked whether they are sound only after a rest: asking costs as much as a small query."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import ConnectionPool
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

REST_SECONDS = 0.5
"""A server that was restarted has been away for longer."""


class Rested:
    """Tells of a connection that is taken from a pool whether it rested there."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._taken_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    def __call__(self, connection: object) -> bool:
        """True for a new one too."""
        now = self._now()
        before = self._taken_at.get(connection)
        self._taken_at[connection] = now
        return before is None or now - before > REST_SECONDS


def ping_after_rest(engine: Engine) -> Engine:
    """Has SQLAlchemy connect anew where a connection that rested is broken; instead of `pool_pre_ping`."""
    rested = Rested()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, _record: object, _proxy: object) -> None:
        if rested(connection):
            try:
                engine.dialect.do_ping(connection)
            except psycopg.Error as broken:
                raise DisconnectionError from broken

    return engine


def check_after_rest() -> Callable[[psycopg.Connection[Any]], None]:
    """The `check` of a psycopg pool."""
    rested = Rested()

    def check(connection: psycopg.Connection[Any]) -> None:
        if rested(connection):
            ConnectionPool.check_connection(connection)

    return check
