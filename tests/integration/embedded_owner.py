"""Owns an embedded PostgreSQL until it is killed: `python -m tests.integration.embedded_owner FOLDER`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from adapters.embedded.postgres import EmbeddedPostgres


def main(folder: Path) -> None:
    with EmbeddedPostgres(folder / "postgres", folder / "postgres.log") as server:
        sys.stdout.write(f"{server.pid}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
