"""One command has one effect, however often it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest

from adapters.event_store import PostgresEventStore
from commands.preferences import AnnotatePreference, AssignPreference, UnassignPreference
from domain.errors import CommandReused
from domain.ports.events import ConcurrentWrite
from domain.preference import Preference, Verdict
from tests.builders import NOW, a_preference, a_workflow
from tests.external_postgres import ExternalPostgres
from tests.fakes import an_envelope
from tests.integration.event_store.buses import PROPOSE, a_bus, names
from tests.trapping_proxy import TrappingProxy


def test_a_repeated_command_has_one_effect_and_one_answer(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4(), b"body")
    first = bus.execute(PROPOSE, envelope)
    bus.execute(AnnotatePreference(first.id, Verdict.ACCEPTED), an_envelope())
    assert bus.execute(PROPOSE, envelope) == first
    assert names(store) == ["preference.proposed", "preference.annotated"]
    with pytest.raises(CommandReused):
        bus.execute(PROPOSE, replace(envelope, fingerprint=b"another body"))


def test_a_command_that_changed_nothing_is_remembered_under_its_clients_key(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4(), b"body")
    preference = bus.execute(PROPOSE, an_envelope()).id
    unassign = UnassignPreference(preference, "ada")
    with ThreadPoolExecutor(8) as threads:
        (first,) = set(threads.map(lambda _: bus.execute(unassign, envelope), range(16)))
    bus.execute(AssignPreference(preference, "ada"), an_envelope())
    assert bus.execute(unassign, envelope) == first
    assert names(store) == ["preference.proposed", "preference.assigned"]
    with pytest.raises(CommandReused):
        bus.execute(unassign, replace(envelope, fingerprint=b"another body"))


@pytest.mark.parametrize("decided_first", [True, False])
def test_of_two_requests_under_one_key_only_the_first_has_an_effect_though_they_decide_differently(
    store: PostgresEventStore, decided_first: bool
) -> None:
    saved = a_preference()
    store.session(an_envelope()).save(saved)
    envelope = an_envelope(uuid4(), b"body")
    no_op, deciding = (store.session(envelope).get(Preference, saved.id) for _ in range(2))
    deciding.annotate(Verdict.FLIPPED, "", at=NOW)
    first, second = (deciding, no_op) if decided_first else (no_op, deciding)
    store.session(envelope).save(first)
    with pytest.raises(ConcurrentWrite):
        store.session(envelope).save(second)
    assert len(names(store)) == (2 if decided_first else 1)


def test_a_policys_command_that_changed_nothing_leaves_no_trace(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4())
    preference = bus.execute(PROPOSE, an_envelope()).id
    bus.execute(UnassignPreference(preference, "ada"), envelope)
    assert envelope.command_id
    assert store.outcome(envelope.command_id) is None


def test_one_command_sent_many_times_at_once_has_one_effect(store: PostgresEventStore) -> None:
    bus, envelope = a_bus(store), an_envelope(uuid4())
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: bus.execute(PROPOSE, envelope), range(16)))
    assert len(answers) == len(names(store)) == 1


def test_of_two_who_change_one_aggregate_the_slower_fails_alone(store: PostgresEventStore, migrated: str) -> None:
    store.session(an_envelope()).save(a_preference())
    sessions = [store.session(an_envelope()) for _ in range(2)]
    loaded = [session.get(Preference, a_preference().id) for session in sessions]
    for preference in loaded:
        preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    sessions[0].save(loaded[0])
    with pytest.raises(ConcurrentWrite):
        sessions[1].save(loaded[1], a_workflow())
    store.session(an_envelope()).save(a_preference("another"))
    assert names(store) == ["preference.proposed", "preference.annotated", "preference.proposed"]
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT count(*) FROM event_salts").fetchone() == (3,)


@pytest.mark.parametrize("command_id", [uuid4(), None], ids=["with an id", "without an id"])
def test_a_reply_lost_at_commit_leaves_one_effect(
    external_postgres: ExternalPostgres, external_database: str, command_id: UUID | None
) -> None:
    """The library sends the save again and meets its own events: a conflict, but for the command's id."""
    with TrappingProxy(external_postgres.port) as proxy:
        through_proxy = external_database.replace(f":{external_postgres.port}/", f":{proxy.port}/")
        with closing(PostgresEventStore(through_proxy)) as store:
            bus = a_bus(store)
            preference = bus.execute(PROPOSE, an_envelope()).id
            proxy.arm()
            written = bus.execute(AnnotatePreference(preference, Verdict.FLIPPED), an_envelope(command_id))
            assert proxy.cuts == 1
            assert (written.id, written.version, written.position) == (preference, 2, store.head())
            assert names(store) == ["preference.proposed", "preference.annotated"]
