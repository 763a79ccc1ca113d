"""Progress bars, beside the output, which may be JSON: how far, how fast, how long still."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gateway.cli.output import errors

LINE_SECONDS = 15.0


class ProgressLines(Progress):
    """For a file or a pipe, where no bar can move: a line now and then."""

    _told_at = -math.inf

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        if self.get_time() - self._told_at >= LINE_SECONDS:
            self._told_at = self.get_time()
            task = self.tasks[task_id]
            of = f" · {task.completed:,.0f} of {task.total:,.0f}" if task.total else ""
            self.console.print(f"{task.description}{of}", highlight=False)


def progress_bar() -> Progress:
    """With counts, time gone and time left; to be entered."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return _kind()(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=errors)


def event_progress() -> Progress:
    """Beside the output, to be entered; `shown` adds a row."""
    rate = TextColumn("{task.fields[rate]}")
    return _kind()(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), rate, TimeRemainingColumn(), console=errors
    )


def _kind() -> type[Progress]:
    return Progress if errors.is_interactive else ProgressLines


def shown(bar: Progress, name: str) -> Callable[[int, int], None]:
    """A row of that name. Returns what is to be told how many events are done, of how many."""
    row = bar.add_task(escape(name), rate="")

    def show_progress(done: int, total: int) -> None:
        speed = bar.tasks[row].speed
        bar.update(row, completed=done, total=max(total, 1), rate=f"{speed:,.0f} events/s" if speed else "")

    return show_progress
