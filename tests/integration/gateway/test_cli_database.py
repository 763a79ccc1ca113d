"""Commands that go straight to the database: the first token, and what they say where the database is not ready."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain.access import Role
from domain.events import ActorKind
from gateway.cli import app
from gateway.cli.tokens import first_admin_token, opened


@pytest.fixture
def own_database(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's database, without any token."""
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database)


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words, env={"TERM": "dumb", "COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.mark.usefixtures("own_database")
def test_the_first_administrator_comes_after_a_demo_that_was_interrupted_too() -> None:
    with opened() as tokens:
        tokens.create("demo-0a1b2c3d", Role.OPERATOR, ActorKind.AUTOMATION, by="caravan demo")
        tokens.revoke("demo-0a1b2c3d")
    token = first_admin_token()
    assert token
    with opened() as tokens:
        caller = tokens.caller(token)
        assert caller
        assert (caller.role, caller.actor.subject) == (Role.ADMIN, "admin")


@pytest.mark.usefixtures("own_database")
def test_there_is_one_first_administrator_even_where_its_token_was_taken_back() -> None:
    assert first_admin_token()
    assert first_admin_token() is None
    with opened() as tokens:
        tokens.revoke("admin")
    assert first_admin_token() is None


def test_a_database_that_is_away_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    code, output = said("tokens", "create", "ada", "--role", "viewer")
    assert code == 1
    assert output.startswith("✗ the database cannot be reached; start it with `caravan up`")


def test_a_database_without_our_tables_is_told_in_a_sentence(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", empty_database)
    code, output = said("tokens", "list")
    assert code == 1
    assert "`caravan migrate` makes them" in output
    _, output = said("doctor")
    assert "answers, and lacks our tables still: `caravan up` makes them" in " ".join(output.split())
