"""A supervisor with real servers and two sleepers: `python -m tests.integration.supervised FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from adapters.embedded.errors import EmbeddedError
from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import Child
from adapters.embedded.supervisor import Supervisor


def main(folder: Path) -> None:
    logs = folder / "logs"
    sleepers = [
        Child(name, ["sleep", "600"], env=os.environ, log=logs / f"{name}.log") for name in ("gateway", "worker")
    ]
    servers = [
        EmbeddedPostgres(folder / "postgres", logs / "postgres.log"),
        EmbeddedNats(folder / "nats", logs / "nats.log"),
    ]
    try:
        Supervisor([*servers, *sleepers], folder / "run").run()
    except EmbeddedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
