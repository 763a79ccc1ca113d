"""The bus: one effect for each command, however often it is sent and whoever else is writing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import pytest

from commands.bus import ATTEMPTS, LONGEST_PAUSE, CommandBus
from commands.preferences import AnnotatePreference, AssignPreference, ProposePreference, UnassignPreference
from domain.errors import AlreadyDone, CommandReused, NotFound
from domain.ports.events import ConcurrentWrite, Session, Written
from domain.preference import Verdict
from tests.builders import a_pair, an_id
from tests.fakes import MemoryEventStore, an_envelope

PROPOSE = ProposePreference(a_pair())


@dataclass(frozen=True)
class Contended:
    """A command whose first saves come too late."""

    losses: int


class Contest:
    def __init__(self) -> None:
        self.tries = 0

    def __call__(self, command: Contended, session: Session) -> Written:
        self.tries += 1
        if self.tries <= command.losses:
            raise ConcurrentWrite
        return Written(an_id("aggregate"), 1, 1)


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


def test_a_command_is_decided_again_when_others_were_faster(store: MemoryEventStore) -> None:
    contest = Contest()
    pauses: list[float] = []
    bus = CommandBus({Contended: contest}, store.session, store, pauses.append)
    assert bus.execute(Contended(losses=ATTEMPTS - 1), an_envelope()).version == 1
    assert contest.tries == len(pauses) + 1 == ATTEMPTS
    assert 0 <= min(pauses) <= max(pauses) <= LONGEST_PAUSE


def test_contention_beyond_reason_is_told(store: MemoryEventStore) -> None:
    bus = CommandBus({Contended: Contest()}, store.session, store, lambda _: None)
    with pytest.raises(ConcurrentWrite):
        bus.execute(Contended(losses=ATTEMPTS), an_envelope())


def test_a_refusal_is_final(store: MemoryEventStore) -> None:
    with pytest.raises(NotFound):
        store.bus().execute(AnnotatePreference(an_id("nothing"), Verdict.ACCEPTED), an_envelope())
    assert store.head() == 0


def test_a_command_sent_again_answers_as_before_and_changes_nothing(store: MemoryEventStore) -> None:
    bus, envelope = store.bus(), an_envelope(command_id=uuid4(), fingerprint=b"body")
    first = bus.execute(PROPOSE, envelope)
    bus.execute(AnnotatePreference(first.id, Verdict.ACCEPTED), an_envelope())
    assert bus.execute(PROPOSE, envelope) == first
    assert store.head() == 2


def test_two_commands_of_one_id_at_once_have_one_effect(store: MemoryEventStore) -> None:
    bus, envelope = store.bus(), an_envelope(command_id=uuid4())
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: bus.execute(PROPOSE, envelope), range(32)))
    assert len(answers) == store.head() == 1


def test_one_id_for_two_bodies_is_refused(store: MemoryEventStore) -> None:
    bus, id = store.bus(), uuid4()
    bus.execute(PROPOSE, an_envelope(id, b"one body"))
    with pytest.raises(CommandReused):
        bus.execute(PROPOSE, an_envelope(id, b"another body"))


def test_a_command_that_changed_nothing_takes_no_effect_when_it_is_sent_again(store: MemoryEventStore) -> None:
    bus, envelope = store.bus(), an_envelope(uuid4(), b"body")
    preference = bus.execute(PROPOSE, an_envelope()).id
    unassign = UnassignPreference(preference, "ada")
    first = bus.execute(unassign, envelope)
    bus.execute(AssignPreference(preference, "ada"), an_envelope())
    assert bus.execute(unassign, envelope) == first
    assert store.head() == 2
    with pytest.raises(CommandReused):
        bus.execute(unassign, an_envelope(envelope.command_id, b"another body"))


def test_many_who_write_to_one_aggregate_all_get_through(store: MemoryEventStore) -> None:
    bus = store.bus()
    preference = bus.execute(PROPOSE, an_envelope()).id
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda n: bus.execute(AnnotatePreference(preference, Verdict.FLIPPED, str(n)), an_envelope()), range(12)
            )
        )
    assert store.head() == 13


def test_a_command_without_an_id_gets_one(store: MemoryEventStore) -> None:
    store.bus().execute(PROPOSE, an_envelope())
    (proposed,) = store.read()
    assert proposed.envelope.command_id is not None


def test_a_proposal_under_an_id_that_follows_from_its_ballots_is_made_once(store: MemoryEventStore) -> None:
    bus, id = store.bus(), an_id("from ballots")
    envelope = an_envelope(uuid4())
    first = bus.execute(ProposePreference(a_pair(), id=id), envelope)
    assert bus.execute(ProposePreference(a_pair(), id=id), envelope) == first
    with pytest.raises(AlreadyDone):
        bus.execute(ProposePreference(a_pair(), id=id), an_envelope())
