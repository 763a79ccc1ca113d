"""Positions are in commit order, and a reader misses nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest

from adapters.event_store import PostgresEventStore
from tests.builders import a_preference
from tests.fakes import an_envelope
from tests.integration.event_store.buses import PROPOSE, a_bus


def test_a_reader_misses_nothing_while_four_write(store: PostgresEventStore) -> None:
    bus, done = a_bus(store), Event()

    def write(_: int) -> None:
        for _ in range(60):
            bus.execute(PROPOSE, an_envelope())

    def tail() -> list[int]:
        seen: list[int] = []
        while True:
            last_round = done.is_set()
            seen += [row["notification_id"] for row in store.read_rows(after=seen[-1] if seen else 0)]
            if last_round:
                return seen

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(tail)
        list(threads.map(write, range(4)))
        done.set()
        seen = reader.result()
    assert len(seen) == 240
    assert seen == [row["notification_id"] for row in store.read_rows()]


def test_an_event_of_a_newer_version_stops_a_reader_but_not_a_reader_of_rows(
    store: PostgresEventStore, migrated: str
) -> None:
    store.session(an_envelope()).save(a_preference())
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE stored_events SET topic = 'preference.sung'")
    with pytest.raises(ValueError, match=r"preference\.sung"):
        list(store.read())
    (row,) = store.read_rows()
    assert json.loads(row["state"])["method"] == "bradley-terry/1"
