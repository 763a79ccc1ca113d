"""Writes a migration for what changed in the tables' code: `make migration m="what changes"`.

The code is compared with what the migrations so far make of an empty PostgreSQL, started for this alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.schema import new_revision, upgrade


def write_migration(message: str) -> None:
    """Leaves a new file in `migrations/versions`, for its author to read and mend."""
    with TemporaryDirectory(prefix="caravan-") as scratch:
        folder = Path(scratch)
        with EmbeddedPostgres(folder / "postgres", folder / "postgres.log") as server:
            upgrade(server.url())
            new_revision(server.url(), message)
        shutil.rmtree(server.cluster.folder)


if __name__ == "__main__":
    write_migration(sys.argv[1])
