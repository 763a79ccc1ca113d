"""The file that people edit by hand and the revisions go together, and nothing that anybody wrote is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.agents_file import AgentsFile
from commands.policies.agents_file import FollowAgentsFile
from commands.roster import ANY, ReviseRoster
from domain.ports.roster import FileState, KeptRevision
from domain.roster import ROSTER_ID
from tests.fakes import MemoryEventStore, an_envelope


class KeptInMemory:
    """The KeptRevisions port over the log. `latest` lags behind by `lag` revisions."""

    def __init__(self, store: MemoryEventStore, lag: int = 0) -> None:
        self._store = store
        self.lag = lag

    def all(self) -> list[KeptRevision]:
        history = self._store.history(ROSTER_ID)
        return [
            KeptRevision(one.event.originator_version, one.event.text, one.event.sha256, one.envelope.actor.subject)
            for one in history
        ]

    def latest(self) -> KeptRevision | None:
        return next(iter(self.all()[::-1][self.lag :]), None)

    def newest(self) -> KeptRevision | None:
        return next(iter(self.all()[::-1]), None)

    def holding(self, sha256: str) -> int | None:
        return next((one.revision for one in self.all()[::-1] if one.sha256 == sha256), None)


class Desk:
    """A folder with the file, and Caravans that follow it."""

    def __init__(self, folder: Path, write_back: bool = False) -> None:
        self.file = folder / "agents.json"
        self.memory = folder / "memory.json"
        self.store = MemoryEventStore()
        self.kept = KeptInMemory(self.store)
        self.write_back = write_back
        self.saves("ada")
        self.revises("ada")
        self.follower = self.another()

    def another(self) -> FollowAgentsFile:
        """One more process, or the next one."""
        file = AgentsFile(self.file, self.memory)
        return FollowAgentsFile(file, self.kept, self.store.bus().execute, self.write_back)

    def saves(self, *names: str) -> None:
        """Somebody does, as editors do: another file in its place."""
        draft = self.file.with_suffix(".new")
        draft.write_text(json.dumps(names))
        draft.replace(self.file)

    def revises(self, *names: str) -> None:
        """Somebody does, over the API."""
        expected = ANY if self.kept.all() else None
        self.store.bus().execute(ReviseRoster(json.dumps(names), expected_revision=expected), an_envelope())

    def looks(self, follower: FollowAgentsFile | None = None) -> FileState:
        for _ in range(3):  # the first sees that the file is another one, the second reads it
            (follower or self.follower).look()
        standing = (follower or self.follower).standing
        assert standing
        return standing.state

    def texts(self) -> list[str]:
        return [one.text for one in self.kept.all()]

    def on_file(self) -> Any:
        return json.loads(self.file.read_text())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def both_ways(tmp_path: Path) -> Desk:
    return Desk(tmp_path, write_back=True)


def test_an_edit_by_hand_is_a_revision_of_the_file_and_its_owner(desk: Desk) -> None:
    assert desk.looks() is FileState.AGREES
    desk.saves("ada", "ben")
    assert desk.looks() is FileState.AGREES
    _, edited = desk.store.history(ROSTER_ID)
    assert (edited.event.text, edited.envelope.actor.subject) == ('["ada", "ben"]', "file:agents.json")
    assert edited.event.reason == f"edited by hand in {desk.file}, a file of {desk.file.owner()}"


def test_a_file_that_is_being_saved_is_left_alone_until_it_stays_as_it_is(desk: Desk) -> None:
    desk.looks()
    for text in ("[", '["ada", ', '["ada", "ben"]'):
        desk.file.write_text(text)
        desk.follower.look()
    assert len(desk.texts()) == 1
    desk.looks()
    assert desk.texts()[1:] == ['["ada", "ben"]']


def test_several_processes_make_one_revision_of_an_edit(desk: Desk, tmp_path: Path) -> None:
    other = FollowAgentsFile(
        AgentsFile(desk.file, tmp_path / "of the other.json"), desk.kept, desk.store.bus().execute, False
    )
    desk.looks()
    desk.looks(other)
    desk.saves("ben")
    for _ in range(3):
        desk.follower.look()
        other.look()
    assert desk.texts() == ['["ada"]', '["ben"]']
    assert desk.looks(other) is FileState.AGREES


def test_an_edit_while_nothing_ran_is_taken_in_at_the_next_start(desk: Desk) -> None:
    desk.looks()
    desk.revises("ada", "cyd")
    desk.saves("ada", "cyd")
    desk.looks()
    desk.saves("eve")
    assert desk.looks(desk.another()) is FileState.AGREES
    assert desk.texts()[-1] == '["eve"]'


def test_an_older_text_that_is_put_back_by_hand_is_a_revision_too(desk: Desk) -> None:
    for names in (["ben"], ["ada"]):
        desk.looks()
        desk.saves(*names)
    desk.looks()
    assert desk.texts() == ['["ada"]', '["ben"]', '["ada"]']


def test_a_revision_made_elsewhere_leaves_the_file_as_it_is_unless_both_ways_are_wanted(desk: Desk) -> None:
    desk.looks()
    desk.revises("ben")
    assert desk.looks() is FileState.BEHIND
    assert desk.on_file() == ["ada"]
    assert len(desk.texts()) == 2


def test_both_ways_a_revision_is_written_into_the_file_and_edits_go_on_from_there(both_ways: Desk) -> None:
    both_ways.looks()
    both_ways.file.chmod(0o640)
    both_ways.revises("ben")
    assert both_ways.looks() is FileState.AGREES
    assert both_ways.on_file() == ["ben"]
    assert both_ways.file.stat().st_mode & 0o777 == 0o640
    both_ways.saves("ben", "cyd")
    both_ways.looks()
    assert both_ways.texts() == ['["ada"]', '["ben"]', '["ben", "cyd"]']
    assert {file.name for file in both_ways.file.parent.iterdir()} == {"agents.json", "memory.json"}


def test_of_two_edits_from_one_revision_neither_is_lost_and_somebody_is_asked(both_ways: Desk) -> None:
    both_ways.looks()
    both_ways.revises("ben")
    both_ways.saves("cyd")
    assert both_ways.looks() is FileState.CONFLICT
    assert (both_ways.on_file(), both_ways.texts()) == (["cyd"], ['["ada"]', '["ben"]'])
    standing = both_ways.follower.standing
    assert standing
    assert "was edited from revision 1, and revision 2, by somebody, is in force" in standing.detail
    both_ways.revises("cyd")  # as `caravan agents apply` does
    assert both_ways.looks() is FileState.AGREES
    both_ways.saves("dora")
    assert both_ways.looks() is FileState.AGREES
    assert both_ways.texts()[-1] == '["dora"]'


def test_an_invalid_file_is_told_once_and_the_old_one_stays_in_force(desk: Desk) -> None:
    desk.looks()
    desk.file.write_text("[ada")
    assert desk.looks() is FileState.INVALID
    standing = desk.follower.standing
    assert standing
    assert standing.detail.startswith("revision 1 stays in force: ")
    desk.looks()
    assert desk.follower.standing is standing
    desk.saves("ada", "ben")
    assert desk.looks() is FileState.AGREES
    assert len(desk.texts()) == 2


def test_a_file_that_is_gone_or_no_file_is_told(desk: Desk) -> None:
    desk.file.unlink()
    assert desk.looks() is FileState.ABSENT
    desk.file.mkdir()
    assert desk.looks() is FileState.UNREADABLE


def test_a_file_from_another_database_is_not_taken_for_an_edit(both_ways: Desk) -> None:
    both_ways.saves("zoe")
    both_ways.memory.write_text(
        json.dumps({"path": str(both_ways.file), "revision": 9, "sha256": sha256(b'["zoe"]').hexdigest()})
    )
    assert both_ways.looks() is FileState.CONFLICT
    assert both_ways.on_file() == ["zoe"]


Step = Callable[[Desk, str], Any]
STEPS: dict[str, Step] = {
    "save": lambda desk, name: desk.saves(name),
    "revise": lambda desk, name: desk.revises(name),
    "look": lambda desk, _: desk.follower.look(),
    "restart": lambda desk, _: setattr(desk, "follower", desk.another()),
    "lag": lambda desk, _: setattr(desk.kept, "lag", 1 - desk.kept.lag),
}


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from("abcd")), max_size=25), both=st.booleans()
)
def test_whatever_happens_in_whatever_order_no_revision_goes_and_no_edit_is_overwritten(
    steps: list[tuple[str, str]], both: bool
) -> None:
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), both)
        for step, name in steps:
            before = desk.file.read_text()
            STEPS[step](desk, name)
            if step == "look":
                assert desk.file.read_text() == before or before in desk.texts()
        desk.kept.lag = 0  # as it is once nothing happens any more
        for _ in range(3):
            desk.follower.look()
        standing = desk.follower.standing
        assert standing
        if standing.state is FileState.AGREES:
            assert desk.file.read_text() == desk.texts()[-1]
        else:
            assert standing.state in (FileState.BEHIND, FileState.CONFLICT)
