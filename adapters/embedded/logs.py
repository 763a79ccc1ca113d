"""The log file of one process: what it writes to stdout and stderr."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from adapters.embedded.log_archive import LogArchive

TAIL_BYTES = 1500


class LogFile:
    """Appended to by one process after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> BinaryIO:
        """For the next process to write to. The file is for its owner's eyes only (0600)."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0)
        self._start = file.seek(0, os.SEEK_END)
        return file

    def tail(self) -> str:
        """The end of what was written since `open`: why the process ended, usually. Where somebody has emptied the file
        since, of what was written since then."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = self._start if self._start <= end else 0
            file.seek(max(start, end - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def rotate(self, archive: LogArchive) -> None:
        """Hands what was written to the archive once that is too much. Raises OSError."""
        if self.path.exists() and self.path.stat().st_size > archive.largest:
            archive.empty(self.path)
            self._start = 0
