"""What processes leave behind on the disk and in tables that are no history."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from adapters.presence import Presence

DAY = timedelta(days=1)
IsOver = Callable[[UUID], bool]
"""Whether a training run has ended, however it did. One that nobody knows has not."""


@dataclass(frozen=True, slots=True)
class TrainingFolders:
    """The checkpoints of trainings that are over: a trainer that was away when one was cancelled keeps them."""

    folder: Path
    is_over: IsOver
    name: ClassVar[str] = "training checkpoints"

    def remove(self, logs_older_than: timedelta) -> int:
        """Removes them, and says how many."""
        over = [path for id, path in _named_by_run(self.folder, "") if path.is_dir() and self.is_over(id)]
        for path in over:
            shutil.rmtree(path, ignore_errors=True)
        return len(over)


@dataclass(frozen=True, slots=True)
class TrainingLogs:
    """What the libraries said during trainings that are over."""

    folder: Path
    is_over: IsOver
    name: ClassVar[str] = "training logs"

    def remove(self, logs_older_than: timedelta) -> int:
        """Removes those that nobody wrote to for so long, and says how many."""
        oldest = time.time() - logs_older_than.total_seconds()
        logs = [path for id, path in _named_by_run(self.folder, "training-") if path.is_file() and self.is_over(id)]
        old = [path for path in logs if path.stat().st_mtime < oldest]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


@dataclass(frozen=True, slots=True)
class DeadWorkers:
    """Signs of life of workers that were killed a day ago or longer."""

    presence: Presence
    name: ClassVar[str] = "dead workers"

    def remove(self, logs_older_than: timedelta) -> int:
        """Removes them, and says how many."""
        return self.presence.forget_long_gone()


@dataclass(frozen=True, slots=True)
class HalfWritten:
    """What was being written by a process that was killed: under names that start with a dot, until it is whole."""

    folder: Path

    def remove(self, logs_older_than: timedelta) -> int:
        """Removes what nobody wrote to for a day, and so nobody writes any more. Says how many that were."""
        oldest = time.time() - DAY.total_seconds()
        half = list(self.folder.glob(".*")) if self.folder.is_dir() else []
        left = [path for path in half if _last_written(path) < oldest]
        for path in left:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(left)


class HalfImports(HalfWritten):
    """Files of imports, and of what they set aside."""

    name: ClassVar[str] = "half-written imports"


class HalfDatasets(HalfWritten):
    """Files of datasets, what they are made with, their indexes and exports."""

    name: ClassVar[str] = "half-written datasets"


def _last_written(path: Path) -> float:
    """When; of a folder, the last of what is in it. Infinity where it is gone by now."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf


def _named_by_run(folder: Path, prefix: str) -> Iterator[tuple[UUID, Path]]:
    """What lies there under the prefix and a run's id; everything else is somebody else's."""
    for path in sorted(folder.glob(f"{prefix}*")) if folder.is_dir() else ():
        try:
            yield UUID(path.stem.removeprefix(prefix)), path
        except ValueError:
            continue
