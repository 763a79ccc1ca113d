"""What `caravan up` says when a part of it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.output import console
from gateway.cli.up import token_to_show, welcome
from gateway.settings import Settings


def test_without_a_database_it_says_how_to_make_a_token_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    with console.capture() as said:
        welcome(Settings(), token_to_show())
    assert "caravan tokens create" in said.get()
