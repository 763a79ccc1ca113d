"""Each command is found in its module, which alone is imported for it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

from typer.main import get_group

import gateway.cli
from gateway.cli.commands import MODULES

SLOW = {"openai", "sqlalchemy", "pyarrow", "faststream", "alembic"}
"""What processes import, in seconds."""

ASKED = """
import sys
from typer.testing import CliRunner
from gateway.cli import app
assert CliRunner().invoke(app, ["runs", "--help"]).exit_code == 0
print(*sys.modules)
"""


def test_every_command_of_every_module_is_listed() -> None:
    found = {
        module.name: tuple(get_group(imported.app).commands)
        for module in iter_modules(gateway.cli.__path__)
        if module.name != "__main__" and hasattr(imported := import_module(f"gateway.cli.{module.name}"), "app")
    }
    assert found == MODULES


def test_a_command_that_asks_the_gateway_imports_none_of_what_the_gateway_is_made_of() -> None:
    imported = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout.split()
    assert "gateway.cli.runs" in imported
    assert SLOW.isdisjoint(imported)
