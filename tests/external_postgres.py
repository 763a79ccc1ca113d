"""A PostgreSQL that Caravan does not manage, as a company's database server would be: over TCP."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import IO, Self

import psycopg

READY_SECONDS = 120.0


class ExternalPostgres:
    """A server of the programs in `programs`, with a throw-away cluster. As root it runs as the user `postgres`, which
    the system's package makes."""

    def __init__(self, programs: Path, log: Path) -> None:
        self._programs = programs
        self._log = log
        self._account = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(mkdtemp(prefix="caravan-external-"))
        self._server: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        if self._account:
            shutil.chown(self._folder, self._account)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        data = str(self._folder / "data")
        with self._log.open("ab") as log:
            self._run(log, "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", data).wait()
            listen = ("-clisten_addresses=127.0.0.1", f"-cport={self.port}", f"-cunix_socket_directories={data}")
            self._server = self._run(log, "postgres", "-D", data, "-cfsync=off", *listen)
        self._wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()
        shutil.rmtree(self._folder)

    def _run(self, log: IO[bytes], program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self._programs / program), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            user=self._account,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError(self._log.read_text()[-2000:]) from None
                time.sleep(0.1)
