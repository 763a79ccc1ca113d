"""Several files that are written line by line, side by side, and put in their places together."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from adapters.durable_files import sync

BUFFER_BYTES = 1 << 20


class StagedFile:
    """One of them. It lies beside its place, under a name that starts with a dot."""

    def __init__(self, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        self._place = place
        self._begin()

    def add(self, line: bytes) -> None:
        self._digest.update(line)
        self._size += self._opened.write(line)

    def leave_out(self, gone: Sequence[int]) -> None:
        self._opened.close()
        before = self._partial
        self._begin()
        try:
            with before.open("rb", BUFFER_BYTES) as lines:
                for line, goes in zip(lines, gone, strict=True):
                    if not goes:
                        self.add(line)
        finally:
            before.unlink()

    def digest(self) -> tuple[str, int]:
        return self._digest.hexdigest(), self._size

    def publish(self) -> None:
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._partial.replace(self._place)
        sync(self._place.parent)

    def close(self) -> None:
        self._opened.close()
        self._partial.unlink(missing_ok=True)

    def _begin(self) -> None:
        handle, partial = tempfile.mkstemp(prefix=f".{self._place.name}.", dir=self._place.parent)
        self._partial = Path(partial)
        self._opened = os.fdopen(handle, "wb", BUFFER_BYTES)
        self._digest = hashlib.sha256()
        self._size = 0


class StagedFiles:
    """Fulfils domain.ports.datasets.StagedDataset."""

    def __init__(self, files: Mapping[str, StagedFile]) -> None:
        self._files = files

    def add(self, part: str, line: bytes) -> None:
        """A line more in that part's file."""
        self._files[part].add(line)

    def leave_out(self, part: str, gone: Sequence[int]) -> None:
        """Takes the lines out of that part's file for which `gone`, which has as many places, has a 1."""
        self._files[part].leave_out(gone)

    def digest(self, part: str) -> tuple[str, int]:
        """SHA-256 (hex) and size in bytes of what that part's file holds by now."""
        return self._files[part].digest()

    def publish(self) -> None:
        """Puts each in its place, whole."""
        for file in self._files.values():
            file.publish()


@contextmanager
def staged(places: Mapping[str, Path]) -> Iterator[StagedFiles]:
    """Files for these places; gone at the end unless they were published."""
    with ExitStack() as stack:
        files = {part: StagedFile(place) for part, place in places.items()}
        for file in files.values():
            stack.callback(file.close)
        yield StagedFiles(files)
