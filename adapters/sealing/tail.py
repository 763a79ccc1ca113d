"""What can be said of the newest events without a seal: one may not be there yet, or have come after a change.

An id that follows from its place; versions without a gap; the relay, which tells only of what there is; and NATS, which
was told of nearly all of it, envelope and data, and which no change of the database reaches. It is compared as far
back as it remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, and_, exists, func, select

from adapters.cloud_events import cloud_event
from adapters.event_tables import RELAY, STORED_EVENTS
from adapters.sealing.leaves import NOTHING
from adapters.sealing.told import Heard, Told
from adapters.sealing.wrong import Wrong
from domain.events import event_id

STREAMED = 1_000


def tail_faults(db: Connection, sealed: int, heard: Told) -> Iterator[Wrong]:
    """Whatever is wrong with the events after the last one that is `sealed`, and with those that NATS `heard` of, in no
    order."""
    missing = set(heard)
    first, last = min(heard, default=sealed + 1), max(heard, default=sealed)
    query = select(STORED_EVENTS).where(STORED_EVENTS.c.notification_id > min(sealed, first - 1))
    for row in db.execute(query, execution_options={"yield_per": STREAMED}).mappings():
        position = row["notification_id"]
        missing.discard(position)
        derived = event_id(row["originator_id"], row["originator_version"])
        if row["event_id"] not in (None, derived):
            yield Wrong(position, "its id is not that of its place in its aggregate")
        if position not in heard:
            if max(first, sealed) < position < last:  # of what is sealed, NATS may have lost news in a power cut
                yield Wrong(position, "NATS was told of events before and after it, but not of it: it was added")
        elif not _as_told(dict(row), heard[position]):
            yield Wrong(position, "it is not the event that NATS was told of")
    for position in missing:
        yield Wrong(position, "NATS was told of an event here, which is missing")
    yield from _gaps(db, sealed)
    yield from _beyond(db)


def _as_told(row: Mapping[str, Any], told: Heard) -> bool:
    """Data is compared where NATS was told of it, and it was not erased since."""
    event = Heard.of(cloud_event(row))
    erased = row["commitment"] is not None and row["state"] in NOTHING
    return event.envelope == told.envelope and (erased or told.data in (None, event.data))


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
