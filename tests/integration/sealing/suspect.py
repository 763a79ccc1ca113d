"""A log that somebody changes behind our backs, and what is known of it outside of its database.

It has a sealed part of two seals, both anchored, with a gap in its positions; and an unsealed tail, of which NATS was
told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Engine, Integer, LargeBinary, Uuid, select

from adapters.cloud_events import CloudEvent
from adapters.event_store import PostgresEventStore
from adapters.event_tables import EVENT_SALTS, RELAY, SEAL_TILES, SEALS, STORED_EVENTS
from adapters.relay import encoded, told
from adapters.sealing.anchors import AnchorFile, Anchoring, read_anchors
from adapters.sealing.keys import Keyring, read_keyring
from adapters.sealing.seal import Seal
from adapters.sealing.sealer import Sealer
from adapters.sealing.told import Heard, Told
from adapters.sealing.verification import Report, verify
from gateway.bootstrap import open_engine
from tests import story

ENTRY = "INSERT INTO stored_events (originator_id, originator_version, topic, state, event_id) "
TABLES = [table.name for table in (STORED_EVENTS, EVENT_SALTS, SEALS, SEAL_TILES, RELAY)]


@dataclass(frozen=True)
class Scene:
    """The log, two copies of it in schemas of the same database, and what is known outside of that."""

    engine: Engine
    keys: Path
    keyring: Keyring
    anchors: list[Seal]
    events: dict[int, CloudEvent]
    gap: int
    sealed: int
    tail_gap: int
    head: int

    @property
    def heard(self) -> Told:
        return {position: Heard.of(event) for position, event in self.events.items()}


PARTS = [(0, 2), (2, 4), (4, 7), (7, 8), (8, None)]
"""Of the story's aggregates: before and after the gap in the first seal, in the second, before and after the tail's."""


def tell(url: str, aggregates: Sequence[BaseAggregate[UUID]]) -> int:
    """Lets that part of the story happen. Returns the log's head."""
    store = PostgresEventStore(url)
    for aggregate in aggregates:
        store.session(story.ENVELOPE).save(aggregate)
    head = store.head()
    store.close()
    return head


def leave_gap(engine: Engine) -> int:
    """What a rollback leaves. Returns the position."""
    with engine.begin() as db:
        drawn = "SELECT nextval(pg_get_serial_sequence('stored_events', 'notification_id'))"
        return int(db.exec_driver_sql(drawn).scalar_one())


def seal(engine: Engine, keys: Path, anchored: bool = True) -> None:
    """Seals and anchors all there is."""
    Sealer(engine, keys / "key", keys / "keyring").seal_all()
    if anchored:
        Anchoring(engine, [AnchorFile(keys / "anchors")], keys / "keyring").anchor()


def publish(engine: Engine, head: int) -> dict[int, CloudEvent]:
    """What the relay does, without NATS. Returns what it told."""
    with engine.begin() as db:
        db.execute(RELAY.insert().values(name="events", position=head))
        rows = db.execute(select(STORED_EVENTS)).mappings().all()
    return {row["notification_id"]: json.loads(encoded(told(dict(row)))) for row in rows}


def copy_tables(engine: Engine, schema: str) -> None:
    with engine.begin() as db:
        db.exec_driver_sql(f"CREATE SCHEMA {schema}")
        for table in TABLES:
            db.exec_driver_sql(f"CREATE TABLE {schema}.{table} AS TABLE {table}")


@contextmanager
def set_scene(url: str, keys: Path) -> Iterator[Scene]:
    """In that empty database, with keys and anchors in that folder."""
    first, second, third, fourth, fifth = (story.everything()[begin:end] for begin, end in PARTS)
    engine = open_engine(url)
    tell(url, first)
    gap = leave_gap(engine)
    tell(url, second)
    seal(engine, keys)
    copy_tables(engine, "older")
    sealed = tell(url, third)
    seal(engine, keys)
    tell(url, fourth)
    tail_gap = leave_gap(engine)
    head = tell(url, fifth)
    events = {position: event for position, event in publish(engine, head).items() if position > sealed}
    copy_tables(engine, "untouched")
    keyring, anchors = read_keyring(keys / "keyring"), read_anchors(keys / "anchors")
    yield Scene(engine, keys, keyring, anchors, events, gap, sealed, tail_gap, head)
    engine.dispose()


class Suspect:
    """The log, and what is done to it."""

    def __init__(self, scene: Scene) -> None:
        self.engine = scene.engine
        self.scene = scene

    def tamper(self, *statements: str) -> None:
        with self.engine.begin() as db:
            for statement in statements:
                db.exec_driver_sql(statement)

    def erase(self, position: int) -> None:
        """As an erasure does: data and salt."""
        self.tamper(
            f"DELETE FROM event_salts WHERE position = {position}",
            f"UPDATE stored_events SET state = '' WHERE notification_id = {position}",
        )

    def become(self, schema: str) -> None:
        """The log as it is in that copy."""
        emptied = [f"DELETE FROM {table}" for table in TABLES]
        self.tamper(*emptied, *(f"INSERT INTO {table} SELECT * FROM {schema}.{table}" for table in TABLES))

    def reseal(self, keys: Path) -> None:
        """What somebody does who can write to the database, with the key in that folder."""
        self.tamper("DELETE FROM seals", "DELETE FROM seal_tiles")
        Sealer(self.engine, keys / "key", keys / "keyring").seal_all()

    def verified(self, anchored: bool = True, heard: bool = False) -> Report:
        anchors = self.scene.anchors if anchored else []
        return verify(self.engine, self.scene.keyring, anchors, self.scene.heard if heard else None)


def edited(column: Column[object]) -> str:
    """Another value of that column, in SQL."""
    match column.type:
        case Uuid():
            return "gen_random_uuid()"
        case BigInteger():
            return f"{column.name} + 100000"
        case Integer():
            return f"coalesce({column.name}, 0) + 1"
        case LargeBinary():
            return "'edited'"
        case DateTime():
            return f"{column.name} + interval '1 microsecond'"
        case ARRAY():
            return "'{eve}'"
        case _:
            return f"concat({column.name}, 'x')"
