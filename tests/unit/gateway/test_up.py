"""What `caravan up` says when a part of it is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.embedded.keeper import State, Status
from gateway.cli.output import console
from gateway.cli.up import Teller, welcome
from gateway.settings import Settings


def test_without_a_database_it_says_how_to_make_a_token_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    with console.capture() as said:
        welcome(Settings())
    assert "caravan tokens create" in said.get()


def test_it_welcomes_once_though_the_console_was_started_again_on_its_way_up() -> None:
    welcomed: list[str] = []
    tell = Teller(when_up=lambda: welcomed.append("welcome"))
    for state in (State.STARTING, State.BACKING_OFF, State.STARTING, State.RUNNING, State.BACKING_OFF, State.RUNNING):
        tell(Status("ui", state, pid=1, port=8501, restarts=1, since=datetime.now(UTC), failure=None))
    assert welcomed == ["welcome"]
