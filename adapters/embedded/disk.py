"""Space on disk, asked for before a server runs into its lack."""

from __future__ import annotations

import shutil
from pathlib import Path

from adapters.embedded.errors import DiskFull

NO_SPACE = "No space left on device"


def require_space(folder: Path, needed: int) -> None:
    """Raises DiskFull unless `needed` bytes are free where `folder` lies."""
    if shutil.disk_usage(folder).free < needed:
        raise DiskFull(folder)
