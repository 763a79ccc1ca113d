"""Datasets of a real log: the same bytes on two machines, and after whatever happens later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from adapters.artifacts import DatasetFolder
from adapters.event_store import PostgresEventStore
from adapters.shared_drafts import SharedDrafter
from commands.bus import CommandBus
from commands.datasets import RequestDataset
from commands.handlers import handlers
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from commands.preferences import AnnotatePreference
from domain.catalogue import topics_of
from domain.dataset import Dataset
from domain.dataset_recipe import Part, Recipe
from domain.dataset_rows import BEGINNING, TELLING
from domain.events import Actor, ActorKind
from domain.preference import Preference, Verdict
from tests.builders import NOW, a_pair, an_id, lives
from tests.fakes import BASE_MODELS, JsonRoster, an_envelope
from tests.histories import load, save

PAIRS = 1_200
"""More than are read at once."""
LATER = 10_000
RECIPE = Recipe(parts=(Part("test", 20), Part("validation", 10)), salt="2026")


@dataclass(frozen=True, slots=True)
class Machine:
    """A Caravan with a log and a folder of its own."""

    store: PostgresEventStore
    bus: CommandBus
    build: BuildDataset

    def save(self, preferences: Sequence[Preference]) -> None:
        self.store.session(an_envelope()).save(*preferences)

    def dataset(self, position: int) -> tuple[list[bytes], str | None]:
        """A new one as of that position: its files, and the hash of its manifest."""
        id = self.bus.execute(RequestDataset(position=position, recipe=RECIPE), an_envelope()).id
        return self.files(id), self.built(id).manifest_sha256

    def files(self, id: UUID) -> list[bytes]:
        return [self.build.ensure(id, part).read_bytes() for part in RECIPE.part_names]

    def built(self, id: UUID) -> Dataset.Built:
        event = self.store.history(id)[-1].event
        assert isinstance(event, Dataset.Built)
        return event


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Machine]:
    with closing(PostgresEventStore(url)) as store:
        bus = CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store)
        drafter = SharedDrafter(store, url, processes=1)
        yield Machine(store, bus, BuildDataset(store, drafter, DatasetFolder(folder), bus.execute, AUTOMATION))


AUTOMATION = Actor("datasets", ActorKind.AUTOMATION)


@pytest.fixture
def machine(database: str, tmp_path: Path) -> Iterator[Machine]:
    """Its log has many pairs, of some of which somebody said something, after others were proposed."""
    with opened(database, tmp_path / "here") as machine:
        pairs = [a_preference_of(number) for number in range(PAIRS)]
        machine.save(pairs)
        for number, pair in enumerate(pairs):
            match number % 7:
                case 1 | 2:
                    pair.annotate(Verdict.FLIPPED, "", at=NOW)
                case 3:
                    pair.annotate(Verdict.ACCEPTED, "", at=NOW)
                    pair.revise("Another answer.", None, "", at=NOW)
                case 4:
                    pair.withdraw("", at=NOW)
        machine.save(pairs)
        yield machine


def a_preference_of(number: int) -> Preference:
    pair = a_pair(f"answer {number}", f"other {number}", f"Question {number % 400}?")
    return Preference.propose(an_id(f"pair {number}"), pair, 0.75, 1.1, "bradley-terry/1", None, at=NOW)


def test_a_dataset_is_the_same_on_two_machines_and_after_10_000_later_events(
    machine: Machine, database: str, empty_database: str, tmp_path: Path
) -> None:
    position = machine.store.head()
    files, manifest = machine.dataset(position)
    assert sum(file.count(b"\n") for file in files) > PAIRS / 2
    assert all(files)

    save(database, tmp_path / "log.sql.gz")
    load(tmp_path / "log.sql.gz", empty_database)
    with opened(empty_database, tmp_path / "there") as elsewhere:
        assert elsewhere.dataset(position) == (files, manifest)

    for round in range(LATER // PAIRS + 1):
        standing = [pair for number in range(PAIRS) if not (pair := loaded(machine, number)).withdrawn]
        for pair in standing:
            pair.annotate((Verdict.FLIPPED, Verdict.REJECTED, Verdict.ACCEPTED)[round % 3], "", at=NOW)
            if round:
                pair.revise(f"Changed in round {round}.", None, "", at=NOW)
        machine.save(standing)
    assert machine.store.head() > position + LATER
    assert machine.dataset(position) == (files, manifest)
    assert machine.dataset(machine.store.head())[0] != files


def loaded(machine: Machine, number: int) -> Preference:
    return machine.store.session(an_envelope()).get(Preference, an_id(f"pair {number}"))


def test_a_flipped_pair_changes_and_no_other(machine: Machine) -> None:
    before, _ = machine.dataset(machine.store.head())
    machine.bus.execute(AnnotatePreference(an_id("pair 5"), Verdict.FLIPPED), an_envelope())
    after, _ = machine.dataset(machine.store.head())
    lines = [(was, now) for old, new in zip(before, after, strict=True) for was, now in rows(old, new)]
    differing = [(was, now) for was, now in lines if was != now]
    assert len(lines) > 1000
    assert len(differing) == 1
    assert all(str(an_id("pair 5")).encode() in line for line in differing[0])


def rows(old: bytes, new: bytes) -> Iterator[tuple[bytes, bytes]]:
    return zip(old.splitlines(), new.splitlines(), strict=True)


def test_lives_are_the_first_and_last_events_up_to_a_position(machine: Machine) -> None:
    for position in (0, 1, PAIRS - 1, PAIRS, PAIRS + 100, machine.store.head()):
        expected = lives(machine.store.read(upto=position, topics=topics_of(Preference)))
        assert list(machine.store.lives(BEGINNING, position, TELLING)) == expected
    assert len(expected) == PAIRS


def test_a_moment_has_the_last_position_recorded_up_to_it(machine: Machine) -> None:
    events = list(machine.store.read(upto=PAIRS + 10))
    at_position = machine.store.position_at
    for recorded in (*events[::97], events[-1]):
        position = at_position(recorded.recorded_at)
        assert position >= recorded.position
        assert all(event.recorded_at == recorded.recorded_at for event in events[recorded.position : position])
    assert at_position(events[0].recorded_at - timedelta(microseconds=1)) == 0
    assert at_position(events[-1].recorded_at + timedelta(days=1)) == machine.store.head()
