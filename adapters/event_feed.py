"""The event log as outsiders read it: pages of CloudEvents, by position, for streams and for the audit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Connection,
    Engine,
    Select,
    Uuid,
    and_,
    any_,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ColumnElement

from adapters.cloud_events import CloudEvent, cloud_event
from adapters.event_tables import STORED_EVENTS
from domain.batch import Batch
from domain.events import ActorKind, topic_of

RUN_REQUESTED = topic_of(Batch.RunRequested)


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
        agent: str | None = None,
        batch: UUID | None = None,
    ) -> list[CloudEvent]:
        """The first (or last) `limit` events with after < position <= upto, in order, that are of these types, of this
        aggregate, by this agent, and of this batch or its runs, where any is named."""
        event = STORED_EVENTS.c
        query = select(STORED_EVENTS).where(event.notification_id > after)
        if upto is not None:
            query = query.where(event.notification_id <= upto)
        if types:
            query = query.where(event.topic.in_(types))
        if aggregate is not None:
            query = query.where(event.originator_id == aggregate)
        if agent is not None:
            query = query.where(event.actor_subject == agent, event.actor_kind == ActorKind.AGENT)
        query = query.order_by(event.notification_id.desc() if newest_first else event.notification_id).limit(limit)
        with self._connected(db) as connection:
            return _read(query if batch is None else query.where(_of_batch(batch, connection)), connection)

    def life(
        self, aggregate: UUID, upto: int, types: Sequence[str], db: Connection | None = None, limit: int = 500
    ) -> list[CloudEvent]:
        """What of these types happened to the aggregate up to that position, in order: all of it, or how it began and
        the newest, `limit` events together."""
        newest = self.page(0, upto, types, aggregate, limit, newest_first=True, db=db)[::-1]
        if len(newest) < limit:
            return newest
        return self.page(0, upto, types, aggregate, limit=1, db=db) + newest[1:]

    def runs_of(self, batch: UUID) -> list[UUID]:
        """The runs that the batch has asked for."""
        with self._engine.connect() as connection:
            return list(connection.scalars(_runs_of(batch)))

    def at(self, positions: Sequence[int], db: Connection | None = None) -> list[CloudEvent]:
        """The events at these positions, in the order in which they are named."""
        with self._connected(db) as connection:
            found = _read(select(STORED_EVENTS).where(STORED_EVENTS.c.notification_id.in_(positions)), connection)
        by_position = {event["position"]: event for event in found}
        return [by_position[position] for position in positions if position in by_position]

    def _connected(self, db: Connection | None) -> AbstractContextManager[Connection]:
        return self._engine.connect() if db is None else nullcontext(db)


def _runs_of(batch: UUID) -> Select[UUID]:
    """By the log itself: a read model may be behind it."""
    event = STORED_EVENTS.c
    run = cast(cast(func.convert_from(event.state, "UTF8"), JSONB)["run"].astext, Uuid)
    return select(run).where(event.originator_id == batch, event.topic == RUN_REQUESTED)


def _of_batch(batch: UUID, db: Connection) -> ColumnElement[bool]:
    """What there is of the batch and its runs by now, named and bounded so that an index finds it in whatever log. What
    comes meanwhile is for the next look: its run may not be among these."""
    ids, first, last = db.execute(_lives(batch)).one()
    event = STORED_EVENTS.c
    return and_(
        event.originator_id == any_(literal(ids or [], ARRAY(Uuid))), event.notification_id.between(first, last)
    )


def _lives(batch: UUID) -> Select[Sequence[UUID], int, int]:
    """The ids of the batch and its runs, and the positions of the first and the last event of them all."""
    event = STORED_EVENTS.c
    lives = union_all(select(literal(batch, Uuid).label("id")), _runs_of(batch)).subquery()
    position = select(event.notification_id).where(event.originator_id == lives.c.id).limit(1)
    first = position.order_by(event.originator_version).lateral()
    last = position.order_by(event.originator_version.desc()).lateral()
    query = select(func.array_agg(lives.c.id), func.min(first.c.notification_id), func.max(last.c.notification_id))
    return query.select_from(lives.join(first, true()).join(last, true()))


def _read(query: Select[Any], db: Connection) -> list[CloudEvent]:
    return [cloud_event(dict(row)) for row in db.execute(query).mappings()]
