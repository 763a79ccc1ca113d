"""One owner for one folder: a lock that the kernel lets go of however its owner dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from adapters.embedded.errors import FolderInUse, FolderUnusable


class OwnerLock:
    """An exclusive lock on the folder that holds the file `path`; the file says the owner's pid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    def acquire(self, patience: float = 0.5) -> None:
        """Take the lock, waiting up to `patience` seconds for an owner that is just ending.

        Raises FolderInUse, which names the owner's pid, or FolderUnusable where no lock can be made.
        """
        deadline = time.monotonic() + patience
        file = _open(self.path)
        while not _locked(file, self.path):
            if time.monotonic() > deadline:
                pid = _written_pid(file)
                os.close(file)
                raise FolderInUse(self.path.parent, pid)
            time.sleep(0.05)
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk must not leave it locked for as long as this process lives
            self.release()
            raise

    def release(self) -> None:
        """Let go. The file stays: removing it would let two owners lock two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def owner_of(path: Path) -> int | None:
    """The pid of the living owner of the lock file at `path`; None where nobody holds it."""
    if not path.exists():
        return None
    file = _open(path)
    try:
        return None if _locked(file, path) else _written_pid(file)
    finally:
        os.close(file)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderUnusable(
            f"{path.parent} cannot be written ({error.strerror}). "
            "Run as its owner, give it to yourself with chown, or choose another data folder."
        ) from error


def _locked(file: int, path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise FolderUnusable(
            f"{path.parent} lies on a file system without locks ({error.strerror}). Choose a folder on a local disk."
        ) from error
    return True


def _written_pid(file: int) -> int | None:
    with suppress(ValueError):
        return int(os.pread(file, 32, 0))
    return None
