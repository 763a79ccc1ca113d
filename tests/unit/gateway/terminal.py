"""What somebody types at a terminal."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app


def run(*command: str) -> Result:
    """In a terminal of 200 columns that knows no colours."""
    return CliRunner().invoke(app, command, env={"TERM": "dumb", "COLUMNS": "200"})
