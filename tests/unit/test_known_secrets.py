"""Keys that the process knows are kept out of what others say, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.known_secrets import KnownSecrets
from gateway.bootstrap import known_secrets
from gateway.settings import Settings


@pytest.mark.parametrize("key", ["internal-Zx81", 'with "quotes" and \\', "a+(b)*[c1]"])
def test_a_key_is_blotted_out_wherever_it_stands_also_in_json(key: str) -> None:
    hide = KnownSecrets([key, "another-key-1"]).hide
    assert hide(f"Invalid token: {key}, {key}!") == "Invalid token: ***, ***!"
    assert hide(json.dumps({"key": key})) == '{"key": "***"}'


def test_of_a_key_that_begins_with_another_one_nothing_is_left() -> None:
    assert KnownSecrets(["internal-1", "internal-1-Zx81"]).hide("internal-1-Zx81 internal-1") == "*** ***"


@pytest.mark.parametrize(
    "word", ["", "none", "not-needed", "lm-studio", "placeholder", "password", "key-1", "20261128"]
)
def test_what_people_may_write_without_having_read_it_stays_as_it_is(word: str) -> None:
    assert KnownSecrets([word]).hide(f"a {word}, or none") == f"a {word}, or none"


def test_a_long_secret_may_be_of_letters_alone() -> None:
    assert KnownSecrets(["correcthorsebattery"]).hide("correcthorsebattery!") == "***!"


def test_a_process_knows_its_own_keys_and_those_of_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_API_KEY", " of-a-variable-1\n")
    monkeypatch.setenv("SHELL_PROMPT", "ordinary-words-1")
    for name, text in {"A_API_KEY": "of-a-file-1-beaten", "B_API_KEY": "of-a-file-1\n"}.items():
        (tmp_path / name).write_text(text)
    hide = known_secrets(Settings(secrets_dir=tmp_path, model_key="the-model's-1", token="the-caller's-1")).hide
    assert hide("of-a-variable-1, of-a-file-1, of-a-file-1-beaten") == "***, ***, ***"
    assert hide("the-model's-1, the-caller's-1, ordinary-words-1") == "***, ***, ordinary-words-1"


def test_what_cannot_be_read_in_a_folder_of_keys_hides_no_other_key_from_it(tmp_path: Path) -> None:
    (tmp_path / "A_API_KEY").write_bytes(b"\xff\xfe")
    (tmp_path / "B_API_KEY").mkdir()
    (tmp_path / "C_API_KEY").write_text("of-a-file-1")
    assert known_secrets(Settings(secrets_dir=tmp_path)).hide("of-a-file-1") == "***"


def test_a_folder_of_keys_that_is_not_there_is_left_to_who_needs_one(tmp_path: Path) -> None:
    assert known_secrets(Settings(secrets_dir=tmp_path / "absent")).hide("ordinary words") == "ordinary words"
