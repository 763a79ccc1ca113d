"""The domain imports the standard library and eventsourcing.domain, and nothing that does I/O."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOMAIN = Path(__file__).parents[2] / "domain"
DOES_IO = {"asyncio", "http", "io", "logging", "os", "random", "secrets", "shutil", "socket", "subprocess"}
PURE = (set(sys.stdlib_module_names) - DOES_IO) | {"domain"}


def imported_by(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("module", sorted(DOMAIN.glob("*.py")), ids=lambda module: module.stem)
def test_a_module_of_the_domain_imports_nothing_that_does_io(module: Path) -> None:
    strangers = {name for name in imported_by(module) if name.split(".")[0] not in PURE}
    assert strangers <= {"eventsourcing.domain"}
