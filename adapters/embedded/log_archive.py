"""Where logs go that have grown too large: compressed, under their time, for a while."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

COMPRESSED = ".log.gz"
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class LogArchive:
    """Takes logs of more than `largest` bytes; forgets what is older than `days`, and the oldest where all of it
    together has more than `most` bytes. Files are for their owner's eyes only (0600)."""

    folder: Path
    largest: int = 10 * 2**20
    days: float = 30
    most: int = 500 * 2**20

    def empty(self, log: Path) -> None:
        """Keeps what is in the log, and empties it in its place: whoever appends to it goes on. What is written between
        the last look and the emptying, which are one after the other, is lost. Raises OSError; the log is whole then.
        """
        with log.open("rb") as source, self._draft(log.stem) as archived:
            shutil.copyfileobj(source, archived, 2**20)
            while rest := source.read():
                archived.write(rest)
            os.truncate(log, 0)

    def empty_large(self, folder: Path) -> None:
        """Empties every log that lies there and has grown too large. Raises OSError."""
        for log in sorted(folder.glob("*.log")):
            with suppress(FileNotFoundError):  # somebody has cleaned up
                if log.stat().st_size > self.largest:
                    self.empty(log)

    def move(self, log: Path) -> None:
        """Keeps a log that nobody writes to any more, and removes it. Raises OSError."""
        with log.open("rb") as source, self._draft(log.stem.split(".")[0]) as archived:
            shutil.copyfileobj(source, archived, 2**20)
        log.unlink()

    def forget(self) -> None:
        """Removes what is too old, or too much."""
        files = sorted(self.folder.glob(f"*{COMPRESSED}"), key=lambda file: file.stat().st_mtime, reverse=True)
        together, oldest = 0, time.time() - self.days * DAY_SECONDS
        for file in files:
            together += file.stat().st_size
            if together > self.most or file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)

    @contextmanager
    def _draft(self, name: str) -> Iterator[gzip.GzipFile]:
        """A compressed file that has its name once it is whole, or is not there."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / f"{name}.draft"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with (
                os.fdopen(descriptor, "wb") as file,
                gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as archived,
            ):
                yield archived
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
            draft.replace(self.folder / f"{name}.{at}{COMPRESSED}")
        finally:
            draft.unlink(missing_ok=True)
