"""Datasets are built when they were requested, and built again, to the same bytes, where a file was lost."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.artifacts import DatasetFolder
from commands.datasets import RequestDataset
from commands.policies import build_dataset
from commands.policies.build_dataset import BuildDataset, DatasetChanged
from commands.preferences import AnnotatePreference, ProposePreference, WithdrawPreference
from domain.dataset import Dataset, Filter
from domain.errors import NotFound
from domain.events import Actor, ActorKind
from domain.preference import Verdict
from tests.builders import a_pair, an_id
from tests.fakes import MemoryEventStore, an_envelope

AUTOMATION = Actor("datasets", ActorKind.AUTOMATION)


class Archive:
    def __init__(self, folder: Path) -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus()
        self.files = DatasetFolder(folder)
        self.build = BuildDataset(self.store, self.files, self.bus.execute, AUTOMATION)

    def ask(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def a_dataset(self, position: int | None = None, filter: Filter | None = None) -> UUID:
        return self.ask(RequestDataset(filter or Filter(), position))

    def built(self, dataset: UUID) -> list[Dataset.Built]:
        events = [recorded.event for recorded in self.store.history(dataset)]
        return [event for event in events if isinstance(event, Dataset.Built)]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path)
    for chosen in ("Paris.", "Rome.", "Vienna."):
        archive.ask(ProposePreference(a_pair(chosen)))
    (first, *_) = archive.store.read()
    archive.ask(AnnotatePreference(first.event.originator_id, Verdict.FLIPPED))
    return archive


async def test_a_requested_dataset_is_written_and_said_to_be_built(archive: Archive) -> None:
    dataset = archive.a_dataset()
    (requested,) = archive.store.history(dataset)
    await archive.build.handle(requested)
    content = archive.files.path(dataset).read_bytes()
    (built,) = archive.built(dataset)
    assert content.count(b"\n") == built.pairs == 3
    assert built.annotated == 1
    assert (built.sha256, built.size) == (sha256(content).hexdigest(), len(content))


def test_the_built_event_belongs_to_the_request(archive: Archive) -> None:
    dataset = archive.a_dataset()
    archive.build.ensure(dataset)
    requested, built = archive.store.history(dataset)
    assert built.envelope.actor == AUTOMATION
    assert built.envelope.causation_id == requested.event_id
    assert built.envelope.correlation_id == requested.envelope.correlation_id


def test_building_again_changes_nothing(archive: Archive) -> None:
    dataset = archive.a_dataset()
    for _ in range(2):
        archive.build.ensure(dataset)
    assert len(archive.built(dataset)) == 1


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"{}\n")], ids=["lost", "damaged"])
def test_a_lost_or_damaged_file_is_written_again_to_the_same_bytes(archive: Archive, harm: object) -> None:
    dataset = archive.a_dataset()
    file = archive.build.ensure(dataset)
    content = file.read_bytes()
    harm(file)  # type: ignore[operator]
    archive.ask(ProposePreference(a_pair("Madrid.")))
    assert archive.build.ensure(dataset).read_bytes() == content
    assert len(archive.built(dataset)) == 1


def test_a_dataset_that_cannot_be_had_again_is_said_loudly_and_nothing_is_written(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = archive.a_dataset()
    archive.build.ensure(dataset).unlink()
    monkeypatch.setattr(build_dataset, "rows", lambda events, filter: [])
    with pytest.raises(DatasetChanged, match="Do not train on it"):
        archive.build.ensure(dataset)
    assert not archive.files.path(dataset).exists()


def test_a_dataset_of_nothing_is_built_too(archive: Archive) -> None:
    dataset = archive.a_dataset(position=0)
    assert archive.build.ensure(dataset).read_bytes() == b""


def test_what_was_never_requested_is_not_built(archive: Archive) -> None:
    with pytest.raises(NotFound):
        archive.build.ensure(an_id("no dataset"))
    (preference, *_) = archive.store.read()
    with pytest.raises(NotFound):
        archive.build.ensure(preference.event.originator_id)


ACTS = st.lists(st.tuples(st.sampled_from(["propose", "accept", "flip", "reject", "withdraw"]), st.integers(0, 9)))


def commands(acts: list[tuple[str, int]]) -> Iterator[object]:
    """What people may do, one after the other, to the preferences that there are."""
    verdicts = {"accept": Verdict.ACCEPTED, "flip": Verdict.FLIPPED, "reject": Verdict.REJECTED}
    standing: list[UUID] = []
    for number, (act, which) in enumerate(acts):
        if act == "propose" or not standing:
            standing.append(an_id(f"preference {number}"))
            yield ProposePreference(a_pair(f"answer {number}"), id=standing[-1])
        elif act == "withdraw":
            yield WithdrawPreference(standing.pop(which % len(standing)), "")
        else:
            yield AnnotatePreference(standing[which % len(standing)], verdicts[act])


@given(ACTS, st.data())
@settings(deadline=None)
def test_a_dataset_as_of_any_position_is_that_of_a_store_cut_there(
    acts: list[tuple[str, int]], data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(acts)))
    contents = []
    for end in (position, len(acts)):
        with TemporaryDirectory() as folder:
            archive = Archive(Path(folder))
            for command in list(commands(acts))[:end]:
                archive.ask(command)
            contents.append(archive.build.ensure(archive.a_dataset(position)).read_bytes())
    assert contents[0] == contents[1]
