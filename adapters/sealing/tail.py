"""What can be said of the events that no seal covers yet: those of the last seconds.

An id that follows from its place; versions without a gap; the relay, which tells only of what there is; and NATS, which
was told of nearly all of it, envelope and data, and which no change of the database reaches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, and_, exists, func, select

from adapters.event_tables import RELAY, STORED_EVENTS
from adapters.relay import encoded, told
from adapters.sealing.told import Told
from adapters.sealing.wrong import Wrong
from domain.events import event_id

STREAMED = 1_000


def tail_faults(db: Connection, after: int, heard: Told) -> Iterator[Wrong]:
    """Whatever is wrong with the events after that position, in no order, given what NATS heard of them."""
    missing = {position for position in heard if position > after}
    first, last = min(heard, default=after), max(heard, default=after)
    query = select(STORED_EVENTS).where(STORED_EVENTS.c.notification_id > after)
    for row in db.execute(query, execution_options={"yield_per": STREAMED}).mappings():
        position = row["notification_id"]
        missing.discard(position)
        derived = event_id(row["originator_id"], row["originator_version"])
        if row["event_id"] not in (None, derived):
            yield Wrong(position, "its id is not that of its place in its aggregate")
        if position not in heard:
            if first < position < last:
                yield Wrong(position, "NATS was told of events before and after it, but not of it: it was added")
        elif heard[position] != json.loads(encoded(told(dict(row)))):
            yield Wrong(position, "it is not the event that NATS was told of")
    for position in missing:
        yield Wrong(position, "NATS was told of an event here, which is missing")
    yield from _gaps(db, after)
    yield from _beyond(db)


def _gaps(db: Connection, after: int) -> Iterator[Wrong]:
    """Events whose predecessor in the aggregate is missing."""
    event, before = STORED_EVENTS.c, STORED_EVENTS.alias("before").c
    predecessor = exists().where(
        before.originator_id == event.originator_id, before.originator_version == event.originator_version - 1
    )
    follows = and_(event.event_id.is_not(None), event.originator_version > 1)
    query = select(event.notification_id, event.originator_version).where(
        event.notification_id > after, follows, ~predecessor
    )
    for position, version in db.execute(query):
        yield Wrong(position, f"it is version {version} of its aggregate, and the version before is missing")


def _beyond(db: Connection) -> Iterator[Wrong]:
    head = db.scalar(select(func.max(STORED_EVENTS.c.notification_id))) or 0
    published = db.scalar(select(func.max(RELAY.c.position))) or 0
    if published > head:
        yield Wrong(head + 1, f"NATS was told of events up to {published}, and the log ends at {head}: it was cut")
