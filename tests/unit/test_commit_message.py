"""The commit-msg hook says what is wrong with a message, and lets good ones and git's own through."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.hooks import commit_msg
from deploy.hooks.commit_msg import complaints


@pytest.mark.parametrize(
    "message",
    [
        "Keep the checkpoint in the rows' transaction\n\nOtherwise a crash between them repeats events.\n",
        "Embed PostgreSQL 18",
        "Pass the clock in",
        "Focus the first field",
        "Merge branch 'main' of elsewhere, fetched at night, with a summary that is far too long",
        "fixup! Keep the checkpoint",
        "Add a rule\n# a comment of git's right after the summary\n",
    ],
)
def test_a_good_message_passes(message: str) -> None:
    assert complaints(message) == []


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "empty"),
        ("\nAdd a rule", "empty"),
        ("add a rule", "capital"),
        ("Added a rule", "imperative"),
        ("Adding a rule", "imperative"),
        ("Adds a rule", "imperative"),
        ("Add a rule.", "full stop"),
        ("Add " + "a" * 69, "73 characters"),
        ("Add a rule\nand more", "second line"),
    ],
)
def test_a_bad_message_is_told_what_is_wrong(message: str, complaint: str) -> None:
    (found,) = complaints(message)
    assert complaint in found


def test_git_sees_a_failed_hook_and_the_author_sees_why(tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text("added a rule.", encoding="utf-8")
    hook = subprocess.run([sys.executable, commit_msg.__file__, message], capture_output=True, text=True, check=False)
    assert hook.returncode == 1
    assert len(hook.stderr.splitlines()) == 3
