"""What was committed once is missed when it is rewritten or removed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kept import NoHistory, altered, plain_environment

NOBODY = {f"GIT_{who}_{what}": "nobody@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With two files that were committed."""
    folder = tmp_path / "repository" / "kept"
    folder.mkdir(parents=True)
    git(folder.parent, "init", "--quiet")
    for name in ("one.json", "two.json"):
        (folder / name).write_text(name)
    commit(folder, "Keep two")
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=plain_environment() | NOBODY, check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--quiet", "-m", message)


def test_files_that_are_only_added_are_kept(folder: Path):
    (folder / "three.json").write_text("three")
    assert altered(folder) == []
    commit(folder, "Keep three")
    assert altered(folder) == []


def test_a_file_that_was_rewritten_is_named_before_and_after_its_commit(folder: Path):
    (folder / "one.json").write_text("rewritten")
    assert altered(folder) == ["kept/one.json"]
    commit(folder, "Rewrite one")
    assert altered(folder) == ["kept/one.json"]


def test_a_file_that_was_removed_is_named_even_when_it_comes_back_as_another(folder: Path):
    (folder / "two.json").unlink()
    commit(folder, "Remove two")
    assert altered(folder) == ["kept/two.json"]
    (folder / "two.json").write_text("another two")
    commit(folder, "Keep another two")
    assert altered(folder) == ["kept/two.json"]


def test_a_file_that_is_as_it_was_at_first_is_kept_whatever_happened_between(folder: Path):
    (folder / "one.json").write_text("rewritten")
    commit(folder, "Rewrite one")
    (folder / "one.json").write_text("one.json")
    assert altered(folder) == []


def test_a_shallow_clone_cannot_tell_and_says_how_it_could(folder: Path, tmp_path: Path):
    (folder / "three.json").write_text("three")
    commit(folder, "Keep three")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{folder.parent}", "shallow")
    with pytest.raises(NoHistory, match="git fetch --unshallow"):
        altered(tmp_path / "shallow" / "kept")


def test_a_folder_outside_of_any_repository_cannot_tell(tmp_path: Path):
    with pytest.raises(NoHistory):
        altered(tmp_path)
