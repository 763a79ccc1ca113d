"""What is told of work that takes long."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from gateway.cli import progress
from gateway.cli.progress import ProgressLines


def test_where_no_bar_can_move_a_line_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = iter([0.0, 0.0, 9.0, 16.0, 16.0]), StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = ProgressLines(console=Console(file=written), get_time=lambda: 0.0)
    row = lines.add_task("runs", total=None)
    lines.update(row, total=12, completed=1)
    lines.update(row, completed=2)
    lines.update(row, completed=3)
    assert written.getvalue().splitlines() == ["runs · 1 of 12", "runs · 3 of 12"]
