"""The log file of one process: what it writes to stdout and stderr, kept to a bounded size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

TAIL_BYTES = 1500


class LogFile:
    """Appended to by one process after another.

    A file that has outgrown `limit` bytes when a process starts is renamed to `<name>.1` first.
    """

    def __init__(self, path: Path, limit: int = 10 * 2**20) -> None:
        self.path = path
        self._limit = limit
        self._start = 0

    def open(self) -> BinaryIO:
        """For the next process to write to. The file is for its owner's eyes only (0600)."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists() and self.path.stat().st_size > self._limit:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0)
        self._start = file.seek(0, os.SEEK_END)
        return file

    def tail(self) -> str:
        """The end of what was written since `open`: why the process ended, usually."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, end - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
