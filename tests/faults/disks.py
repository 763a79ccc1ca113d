"""A file system of its own, small enough to be filled to the last byte. Linux, and root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.embedded.accounts import is_root

MEBIBYTE = 2**20


class SmallDisk:
    """In memory, at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Nothing more can be written; somebody else may take the last of it at the same moment."""
        with self._ballast.open("ab", buffering=0) as ballast, suppress(OSError):
            while free := os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_bsize:
                ballast.write(bytes(min(free, MEBIBYTE)))

    def make_room(self) -> None:
        """As it was before."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk | None]:
    """None where this machine, or container, lets nobody mount one; the folder is then an ordinary one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0711", "tmpfs", str(folder)]
    mounted = is_root() and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(folder) if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
