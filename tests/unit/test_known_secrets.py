"""Keys that the process knows are kept out of what others say, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.known_secrets import KnownSecrets
from gateway.bootstrap import known_secrets
from gateway.settings import Settings


@pytest.mark.parametrize("key", ["internal-Zx81", 'with "quotes" and \\', "a+(b)*[c]"])
def test_a_key_is_blotted_out_wherever_it_stands_also_in_json(key: str) -> None:
    hide = KnownSecrets([key, "another-key"]).hide
    assert hide(f"Invalid token: {key}, {key}!") == "Invalid token: ***, ***!"
    assert hide(json.dumps({"key": key})) == '{"key": "***"}'


def test_of_a_key_that_begins_with_another_one_nothing_is_left() -> None:
    assert KnownSecrets(["internal", "internal-Zx81"]).hide("internal-Zx81 internal") == "*** ***"


def test_what_is_too_short_for_a_secret_stays_a_word() -> None:
    assert KnownSecrets(["none", ""]).hide("none of them") == "none of them"
    assert KnownSecrets().hide("none of them") == "none of them"


def test_a_process_knows_its_own_keys_and_those_of_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_API_KEY", " of a variable\n")
    monkeypatch.setenv("SHELL_PROMPT", "ordinary words")
    for name, text in {"A_API_KEY": "of a file, beaten", "B_API_KEY": "of a file\n"}.items():
        (tmp_path / name).write_text(text)
    hide = known_secrets(Settings(secrets_dir=tmp_path, model_key="the model's", token="the caller's")).hide
    assert hide("of a variable, of a file, of a file, beaten") == "***, ***, ***"
    assert hide("the model's, the caller's, ordinary words") == "***, ***, ordinary words"


def test_a_folder_of_keys_that_is_not_there_is_left_to_who_needs_one(tmp_path: Path) -> None:
    assert known_secrets(Settings(secrets_dir=tmp_path / "absent")).hide("ordinary words") == "ordinary words"
