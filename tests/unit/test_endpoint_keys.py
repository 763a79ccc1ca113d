"""The keys of endpoints: from the environment and from files, and nothing but keys."""

from __future__ import annotations

from pathlib import Path

from adapters.endpoint_keys import endpoint_keys


def test_keys_come_from_variables_and_from_files_of_their_names_and_no_other_secret_comes_along(tmp_path: Path) -> None:
    for name, text in {"A_API_KEY": "of a file\n", "B_API_KEY": "of a file", "PASSWORD": "x", "..data": "x"}.items():
        (tmp_path / name).write_text(text)
    environment = {"B_API_KEY": "of a variable ", "DATABASE_URL": "x", "CARAVAN_MODEL_API_KEY": "x"}
    assert endpoint_keys(environment, tmp_path) == {"A_API_KEY": "of a file", "B_API_KEY": "of a variable"}
    assert endpoint_keys(environment, None) == {"B_API_KEY": "of a variable"}
