"""What an event store keeps, and how it is read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from adapters.event_store import PostgresEventStore
from domain.errors import NotFound, VersionConflict
from domain.events import Actor, ActorKind, Envelope, event_id
from domain.preference import Preference, Verdict
from domain.workflow import Workflow
from tests.builders import NOW, a_preference, a_workflow, an_id
from tests.fakes import an_envelope
from tests.integration.event_store.buses import names


def test_an_event_is_read_back_with_its_envelope(store: PostgresEventStore) -> None:
    envelope = Envelope(
        actor=Actor("ada", ActorKind.HUMAN),
        correlation_id=uuid4(),
        command_id=uuid4(),
        causation_id=uuid4(),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        project="atlas",
        data_subjects=("zoë", 'cyd "the fox", \\{d\\}', "NULL", ""),
    )
    preference = a_preference()
    (event,) = preference.pending_events
    written = store.session(replace(envelope, fingerprint=b"body")).save(preference)
    (recorded,) = store.read()
    assert (recorded.event, recorded.envelope, recorded.position) == (event, envelope, written.position)
    assert abs(recorded.recorded_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert list(store.history(preference.id)) == [recorded]


def test_the_payload_is_plain_json_for_everyone(store: PostgresEventStore, migrated: str) -> None:
    store.session(an_envelope()).save(a_preference())
    with psycopg.connect(migrated, row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM event_log").fetchone()
    assert row is not None
    assert (row["type"], row["actor_kind"], row["schema_version"]) == ("preference.proposed", "human", 3)
    assert row["data"]["pair"]["prompt"] == [{"role": "user", "content": "Which city?"}]
    assert set(row["data"]) == {
        "pair",
        "probability",
        "margin",
        "method",
        "lineage",
        "source",
        "support",
        "timestamp",
        "class_version",
    }


def test_an_event_is_stored_under_the_id_that_every_reader_derives(store: PostgresEventStore, migrated: str) -> None:
    preference = a_preference()
    preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    store.session(an_envelope(uuid4())).save(preference)
    with psycopg.connect(migrated) as connection:
        rows = connection.execute("SELECT event_id, command_index FROM stored_events ORDER BY notification_id")
        assert rows.fetchall() == [(event_id(preference.id, 1), 0), (event_id(preference.id, 2), 1)]


def test_each_events_commitment_is_the_hash_of_its_salt_and_state(store: PostgresEventStore, migrated: str) -> None:
    preference = a_preference()
    preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    store.session(an_envelope()).save(preference)
    query = "SELECT salt, state, commitment FROM stored_events JOIN event_salts ON position = notification_id"
    with psycopg.connect(migrated) as connection:
        rows = connection.execute(query).fetchall()
    assert len({salt for salt, _, _ in rows}) == 2
    assert all(commitment == sha256(salt + state).digest() for salt, state, commitment in rows)


def test_an_aggregate_is_loaded_as_it_was_saved(store: PostgresEventStore) -> None:
    session = store.session(an_envelope())
    preference = a_preference()
    preference.annotate(Verdict.FLIPPED, "", at=NOW)
    session.save(preference)
    assert session.get(Preference, preference.id, version=2).pair == preference.pair
    assert session.find(Workflow, preference.id) is None
    with pytest.raises(VersionConflict):
        session.get(Preference, preference.id, version=1)
    with pytest.raises(NotFound):
        session.get(Preference, an_id("nothing"))


def test_several_aggregates_are_saved_together(store: PostgresEventStore) -> None:
    written = store.session(an_envelope()).save(a_preference(), a_workflow())
    assert names(store) == ["preference.proposed", "workflow.requested"]
    assert (written.id, written.version, written.position) == (a_preference().id, 1, store.head())


def test_a_reader_takes_the_positions_and_topics_that_it_wants(store: PostgresEventStore) -> None:
    for n in range(3):
        store.session(an_envelope()).save(a_preference(f"{n}"))
    store.session(an_envelope()).save(a_workflow())
    first, *_, last = [recorded.position for recorded in store.read()]
    assert [recorded.position for recorded in store.read(after=first, upto=last - 1)] == [first + 1, first + 2]
    assert [recorded.type for recorded in store.read(topics=["workflow.requested"])] == ["workflow.requested"]
    assert len(list(store.read_rows(limit=2))) == 2
    assert store.head() == last


def test_an_empty_store_ends_at_zero(store: PostgresEventStore) -> None:
    assert store.head() == 0
    assert list(store.read()) == list(store.history(an_id("nothing"))) == []
    assert store.outcome(an_id("no command")) is None
