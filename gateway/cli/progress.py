"""Progress bars for what goes through the log: how far, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.cli.output import errors


def event_progress() -> Progress:
    """Beside the output, to be entered; `shown` adds a row."""
    rate = TextColumn("{task.fields[rate]}")
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), rate, TimeRemainingColumn(), console=errors
    )


def shown(bar: Progress, name: str) -> Callable[[int, int], None]:
    """A row of that name. Returns what is to be told how many events are done, of how many."""
    row = bar.add_task(escape(name), rate="")

    def show_progress(done: int, total: int) -> None:
        speed = bar.tasks[row].speed
        bar.update(row, completed=done, total=max(total, 1), rate=f"{speed:,.0f} events/s" if speed else "")

    return show_progress
