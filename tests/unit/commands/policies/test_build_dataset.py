"""Datasets are built when they were requested, and built again, to the same bytes, where a file was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.artifacts import DatasetFolder
from adapters.shared_drafts import SharedDrafter
from commands.datasets import RequestDataset
from commands.policies.build_dataset import BuildDataset, DatasetChanged
from commands.preferences import (
    AnnotatePreference,
    NotePreference,
    ProposePreference,
    UndoOpinion,
    WithdrawPreference,
)
from domain.dataset import Dataset
from domain.dataset_recipe import NEWEST_BUILDER, Contradictions, Duplicates, Filter, Holdout, Part, Recipe
from domain.doubt import Support
from domain.errors import Invalid, NotFound
from domain.events import Actor, ActorKind, Envelope
from domain.preference import Verdict
from tests.builders import a_pair, an_id
from tests.fakes import BEGINNING, MemoryEventStore, an_envelope

AUTOMATION = Actor("datasets", ActorKind.AUTOMATION)


class Archive:
    def __init__(self, folder: Path) -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus()
        self.files = DatasetFolder(folder)
        self.build = BuildDataset(
            self.store, SharedDrafter(self.store, "", processes=1), self.files, self.bus.execute, AUTOMATION
        )

    def ask(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def a_dataset(
        self, position: int | None = None, filter: Filter | None = None, recipe: Recipe | None = None
    ) -> UUID:
        return self.ask(RequestDataset(filter or Filter(), position, recipe=recipe or Recipe()))

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
    monkeypatch.setattr(archive.store, "lives", lambda *_: iter(()))
    with pytest.raises(DatasetChanged, match="Do not train on it"):
        archive.build.ensure(dataset)
    assert not archive.files.path(dataset).exists()


def test_a_dataset_is_built_from_the_events_again_though_its_file_is_there(archive: Archive) -> None:
    dataset = archive.a_dataset()
    file = archive.build.ensure(dataset)
    content = file.read_bytes()
    file.write_bytes(b"")
    assert archive.build.again(dataset).read_bytes() == content
    assert archive.build.again(dataset).read_bytes() == content
    assert len(archive.built(dataset)) == 1
    with pytest.raises(NotFound):
        archive.build.again(an_id("another dataset"))


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


def of_all(archive: Archive, dataset: UUID, *parts: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of each part."""
    files = {part: archive.build.ensure(dataset, part) for part in ("train", *parts)}
    return {part: [json.loads(line) for line in file.read_bytes().splitlines()] for part, file in files.items()}


PROMPTS = st.lists(st.tuples(st.sampled_from(["Why?", "why? ", "How?", "Who?", "Where?", "When?"]), st.integers(0, 3)))


@given(PROMPTS, st.floats(5, 45), st.floats(5, 45), st.text("salt", max_size=2))
@settings(deadline=None)
def test_a_prompt_never_sits_on_two_sides(
    asked: list[tuple[str, int]], test: float, validation: float, salt: str
) -> None:
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        for n, (prompt, answer) in enumerate(asked):
            archive.ask(ProposePreference(a_pair(f"answer {answer}", f"other {n}", prompt)))
        recipe = Recipe(parts=(Part("test", test), Part("validation", validation)), salt=salt)
        parts = of_all(archive, archive.a_dataset(recipe=recipe), "test", "validation")
    sides = {part: {row["prompt"][0]["content"].strip().casefold() for row in rows} for part, rows in parts.items()}
    assert sum(map(len, sides.values())) == len(set().union(*sides.values()))
    assert sum(map(len, parts.values())) == len(asked)


def test_of_repeats_the_heaviest_stays_and_what_is_said_both_ways_is_left_to_people(archive: Archive) -> None:
    twice = archive.ask(ProposePreference(a_pair("Paris.", "Rome."), probability=0.9))
    archive.ask(ProposePreference(a_pair("Paris. ", "Rome.")))
    archive.ask(ProposePreference(a_pair("Oslo.", "Bern.")))
    archive.ask(ProposePreference(a_pair("Bern.", "Oslo.")))
    settled = archive.ask(ProposePreference(a_pair("Bonn.", "Kiel.")))
    archive.ask(ProposePreference(a_pair("Kiel.", "Bonn.")))
    archive.ask(AnnotatePreference(settled, Verdict.ACCEPTED))

    dataset = archive.a_dataset()
    found = {row["chosen"][0]["content"] for row in of_all(archive, dataset)["train"]}
    assert found == {"Lyon.", "Rome.", "Vienna.", "Paris. ", "Bonn."}
    (built,) = archive.built(dataset)
    assert built.contents
    assert built.contents.dropped == {"contradicted": 3, "duplicate": 1}
    assert built.contents.contradictions == 2

    everything = archive.a_dataset(recipe=Recipe(duplicates=Duplicates.KEEP, contradictions=Contradictions.KEEP))
    assert len(of_all(archive, everything)["train"]) == 9
    strict = archive.a_dataset(recipe=Recipe(contradictions=Contradictions.DROP))
    assert not {"Bonn.", "Kiel."} & {row["chosen"][0]["content"] for row in of_all(archive, strict)["train"]}
    assert twice


def test_prompts_of_an_evaluation_are_left_out_or_counted(archive: Archive) -> None:
    long = "name the city on the seine in which the louvre stands and the king once lived"
    archive.ask(ProposePreference(a_pair("Paris.", "Rome.", f"Please {long.upper()}, or guess!")))
    for drop, pairs in ((True, 3), (False, 4)):
        holdout = Holdout("cities", (f"Well, {long}?", "How many?"), drop)
        dataset = archive.a_dataset(recipe=Recipe(holdouts=(holdout,)))
        assert len(of_all(archive, dataset)["train"]) == pairs
        (built,) = archive.built(dataset)
        assert built.contents
        assert (built.contents.overlapping, len(built.contents.overlaps)) == (1, 1)
    short = archive.a_dataset(recipe=Recipe(holdouts=(Holdout("short", ("which CITY",)),)))
    assert len(of_all(archive, short)["train"]) == 1


def test_the_manifest_says_what_is_in_and_has_the_hash_of_its_event(archive: Archive) -> None:
    dataset = archive.a_dataset(recipe=Recipe(parts=(Part("test", 50),)))
    file = archive.build.manifest(dataset)
    (built,) = archive.built(dataset)
    assert sha256(file.read_bytes()).hexdigest() == built.manifest_sha256
    told = json.loads(file.read_bytes())
    assert told["position"] == 4
    assert [each["sha256"] for each in told["contents"]["files"]] == [
        sha256(archive.files.path(dataset, part).read_bytes()).hexdigest() for part in ("train", "test")
    ]
    assert told["contents"]["verdicts"] == {"flipped": 1, "unsettled": 2}
    assert told["contents"]["characters"]["prompt"]["most"] == len("Which city?")
    file.unlink()
    assert archive.build.manifest(dataset).read_bytes()
    assert sha256(file.read_bytes()).hexdigest() == built.manifest_sha256


def test_a_flipped_annotation_changes_its_own_line_and_no_other(archive: Archive) -> None:
    (_, second, *_) = archive.store.read()
    before = archive.build.ensure(archive.a_dataset()).read_bytes().splitlines()
    archive.ask(AnnotatePreference(second.event.originator_id, Verdict.FLIPPED))
    after = archive.build.ensure(archive.a_dataset()).read_bytes().splitlines()
    assert [n for n, (was, now) in enumerate(zip(before, after, strict=True)) if was != now] == [1]


def test_a_moment_is_turned_into_the_last_position_recorded_up_to_then(archive: Archive) -> None:
    (_, second, third, _) = archive.store.read()
    for moment, position in (
        (second.recorded_at, 2),
        (third.recorded_at - timedelta(microseconds=1), 2),
        (BEGINNING, 0),
    ):
        dataset = archive.ask(RequestDataset(as_of=moment))
        (requested,) = archive.store.history(dataset)
        assert isinstance(requested.event, Dataset.Requested)
        assert requested.event.position == position
    for impossible in (
        RequestDataset(as_of=BEGINNING + timedelta(days=1)),
        RequestDataset(as_of=BEGINNING, position=1),
        RequestDataset(as_of=BEGINNING.replace(tzinfo=None)),
    ):
        with pytest.raises(Invalid):
            archive.ask(impossible)


def test_there_is_no_part_that_was_not_asked_for(archive: Archive) -> None:
    with pytest.raises(NotFound, match="part 'test'"):
        archive.build.ensure(archive.a_dataset(), "test")


def by(annotator: str) -> Envelope:
    return replace(an_envelope(), actor=Actor(annotator, ActorKind.HUMAN))


def test_a_pair_that_people_disagree_on_is_out_until_one_more_settles_it(archive: Archive) -> None:
    (_, second, *_) = archive.store.read()
    pair = second.event.originator_id
    before = archive.store.head()
    archive.bus.execute(AnnotatePreference(pair, Verdict.ACCEPTED), by("ada"))
    archive.bus.execute(AnnotatePreference(pair, Verdict.FLIPPED), by("ben"))
    disputed = archive.store.head()
    archive.bus.execute(AnnotatePreference(pair, Verdict.FLIPPED), by("cyd"))
    archive.bus.execute(NotePreference(pair, "at last"), by("ada"))
    settled = archive.store.head()
    archive.bus.execute(UndoOpinion(pair), by("cyd"))

    def told(position: int | None, builder: str = NEWEST_BUILDER) -> tuple[int, dict[str, int], str | None]:
        dataset = archive.a_dataset(position, recipe=Recipe(builder=builder))
        lines = [json.loads(line) for line in archive.build.ensure(dataset).read_bytes().splitlines()]
        (built,) = archive.built(dataset)
        assert built.contents
        verdict = next((line["verdict"] for line in lines if line["preference_id"] == str(pair)), "out")
        return len(lines), built.contents.dropped, verdict

    assert told(before) == (3, {}, None)
    assert told(disputed) == (2, {"open": 1}, "out")
    assert told(settled) == (3, {}, "flipped")
    assert told(None) == (2, {"open": 1}, "out")
    assert told(disputed, "pairs/2") == (3, {}, None)
    assert told(before) == (3, {}, None)


def test_a_pair_whose_judges_contradict_each_other_is_out_until_a_person_settles_it(archive: Archive) -> None:
    pair = archive.ask(ProposePreference(a_pair("Bonn."), 0.9, method="bradley-terry/2", support=Support(1, 1, 0, 0)))
    assert len(archive.build.ensure(archive.a_dataset()).read_bytes().splitlines()) == 3
    archive.bus.execute(AnnotatePreference(pair, Verdict.ACCEPTED), by("ada"))
    assert len(archive.build.ensure(archive.a_dataset()).read_bytes().splitlines()) == 4
