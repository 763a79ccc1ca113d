"""What is to be on the disk before we go on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST_PREFIX = 64
"""Characters of a file's name in that of its draft: file systems take 255 bytes."""


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """To be written beside its place, under a name that starts with a dot: it is there when the block has ended well,
    all of it and on disk, and else as it was before. What a process that is killed leaves is removed after a day."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{file.name[:LONGEST_PREFIX]}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        Path(partial).replace(file)
    finally:
        Path(partial).unlink(missing_ok=True)
    sync(file.parent)


def write_private(file: Path, text: str) -> None:
    """Whole or not at all, on disk when it returns, and 0600 from the first byte on."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    draft.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Returns once a file's content, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
