"""The file agents.yaml on this machine, which people edit by hand while Caravan runs."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from adapters.durable_files import sync, write_private
from domain.ports.roster import Agreed

Stamp = tuple[int, int, int]


class AgentsFile:
    """The RosterFile port. `memory` is a file that remembers, over restarts, with which revision it last agreed."""

    def __init__(self, path: Path, memory: Path) -> None:
        self.path = path
        self._memory = memory
        self._stamp: Stamp | None = None
        self._content: bytes | None = None

    def read(self) -> bytes | None:
        """What it holds; None where it is not there, or was changed since the last time: whoever saves it may not be
        done. Raises OSError."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp, self._content = stamp, None
        elif self._content is None and stamp is not None:
            self._content = self.path.read_bytes()
        return self._content

    def replace(self, content: bytes, held: bytes) -> bool:
        """Writes it, whole or not at all, unless it holds something else than what it `held` by now. Raises OSError."""
        file = self.path.resolve()
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            draft.write_bytes(content)
            shutil.copymode(file, draft)
            sync(draft)
            if file.read_bytes() != held:
                return False
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        sync(file.parent)
        return True

    def owner(self) -> str | None:
        """Whose file it is, where the system knows the name."""
        with suppress(OSError, KeyError):
            return self.path.owner()
        return None

    def agreed(self) -> Agreed | None:
        """The revision that it last agreed with; None where that is not known."""
        try:
            kept = json.loads(self._memory.read_text())
            return Agreed(kept["revision"], kept["sha256"]) if kept["path"] == str(self.path) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def agree(self, agreed: Agreed) -> None:
        """Remembers it. Raises OSError."""
        kept = {"path": str(self.path), "revision": agreed.revision, "sha256": agreed.sha256}
        write_private(self._memory, json.dumps(kept))

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
