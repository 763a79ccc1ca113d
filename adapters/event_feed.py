"""The event log as outsiders read it: pages of CloudEvents, by position, for streams and for the audit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, func, select

from adapters.cloud_events import CloudEvent, cloud_event
from adapters.event_tables import STORED_EVENTS


class EventFeed:
    """Reads undecoded rows, so that an event that this version cannot decode is still seen. Threads may share it.

    Who holds a connection already passes it as `db`: to wait for a second one could be to wait for each other.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def head(self, db: Connection | None = None) -> int:
        """The position of the last event; 0 when there is none."""
        with self._connected(db) as connection:
            return connection.execute(select(func.max(STORED_EVENTS.c.notification_id))).scalar() or 0

    def page(
        self,
        after: int = 0,
        upto: int | None = None,
        types: Sequence[str] = (),
        aggregate: UUID | None = None,
        limit: int = 500,
        newest_first: bool = False,
        db: Connection | None = None,
    ) -> list[CloudEvent]:
        """The first (or last) `limit` events with after < position <= upto, in order, that are of these types and of
        this aggregate, where any is named."""
        event = STORED_EVENTS.c
        query = select(STORED_EVENTS).where(event.notification_id > after)
        if upto is not None:
            query = query.where(event.notification_id <= upto)
        if types:
            query = query.where(event.topic.in_(types))
        if aggregate is not None:
            query = query.where(event.originator_id == aggregate)
        order = event.notification_id.desc() if newest_first else event.notification_id
        return self._read(query.order_by(order).limit(limit), db)

    def at(self, positions: Sequence[int], db: Connection | None = None) -> list[CloudEvent]:
        """The events at these positions, in the order in which they are named."""
        found = self._read(select(STORED_EVENTS).where(STORED_EVENTS.c.notification_id.in_(positions)), db)
        by_position = {event["position"]: event for event in found}
        return [by_position[position] for position in positions if position in by_position]

    def _read(self, query: Select[Any], db: Connection | None) -> list[CloudEvent]:
        with self._connected(db) as connection:
            return [cloud_event(dict(row)) for row in connection.execute(query).mappings()]

    def _connected(self, db: Connection | None) -> AbstractContextManager[Connection]:
        return self._engine.connect() if db is None else nullcontext(db)
