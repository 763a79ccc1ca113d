"""What is told of work that takes long."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from gateway.cli.progress import ProgressLines


def test_where_no_bar_can_move_a_line_is_told_now_and_then() -> None:
    now, written = 100.0, StringIO()
    lines = ProgressLines(console=Console(file=written), get_time=lambda: now)
    row = lines.add_task("runs", total=None)
    lines.update(row, total=12, completed=1)
    now += 9
    lines.update(row, completed=2)
    now += 9
    lines.update(row, completed=3)
    assert written.getvalue().splitlines() == ["runs · 1 of 12", "runs · 3 of 12"]
