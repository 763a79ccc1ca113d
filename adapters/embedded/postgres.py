"""A real PostgreSQL on a unix socket that nobody else can reach, and that outlives whatever happens to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from urllib.parse import quote

import psutil
import psycopg

from adapters.embedded import orphans
from adapters.embedded.disk import require_space
from adapters.embedded.errors import EmbeddedError, OrphanRemains
from adapters.embedded.locks import OwnerLock
from adapters.embedded.postgres_binaries import bin_folder
from adapters.embedded.postgres_cluster import (
    ENVIRONMENT,
    SUPERUSER,
    SYSTEM_FOLDER,
    Cluster,
    create,
    locate,
    prepare_socket_folder,
)
from adapters.embedded.process import Launch, ManagedProcess

PORT = 5432
"""The socket's name ends with it; it is said everywhere, lest somebody's PGPORT changes what clients look for."""

SPACE_TO_RUN = 48 * 2**20
CRASH_RECOVERY_SECONDS = 600.0


class EmbeddedPostgres(ManagedProcess):
    """One PostgreSQL cluster that belongs to `folder`; postgres_cluster.py says where it lies for root.

    `settings` are PostgreSQL's own, e.g. {"shared_buffers": "256MB"}. The first start creates the cluster; a start
    after a crash waits for its recovery.
    """

    # Fast shutdown; then immediate, which recovers at the next start. SIGTERM would wait for the clients.
    stop_signals = (SIGINT, SIGQUIT, SIGKILL)
    grace = 30.0
    ready_timeout = CRASH_RECOVERY_SECONDS

    def __init__(
        self,
        folder: Path,
        log: Path,
        settings: Mapping[str, str] | None = None,
        system_folder: Path = SYSTEM_FOLDER,
    ) -> None:
        super().__init__("postgres", log)
        self.folder = folder.absolute()
        self._settings = dict(settings or {})
        self._system_folder = system_folder
        self._cluster: Cluster | None = None
        self._lock: OwnerLock | None = None

    @property
    def cluster(self) -> Cluster:
        """Where the data lies; looked up, and for root made known, when it is first asked for."""
        if self._cluster is None:
            self._cluster = locate(self.folder, self._system_folder)
        return self._cluster

    def url(self, database: str = "postgres") -> str:
        """For psycopg and SQLAlchemy alike: `postgresql://postgres@/DATABASE?host=SOCKET_FOLDER&port=5432`."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self.cluster.socket))}&port={PORT}"

    def prepare(self) -> Launch:
        if self._lock is None:
            lock = OwnerLock(self.cluster.folder / "lock")
            lock.acquire()
            self._lock = lock
        programs = bin_folder(self.cluster.account, self._system_folder)
        self._end_orphans()
        create(self.cluster, programs)
        require_space(self.cluster.folder, SPACE_TO_RUN)
        prepare_socket_folder(self.cluster)
        # No server of ours lives now, so a pid in there is dead or, by chance, an unrelated program's.
        (self.cluster.data / "postmaster.pid").unlink(missing_ok=True)
        options = [part for name, value in self._options().items() for part in ("-c", f"{name}={value}")]
        return Launch(
            [str(programs / "postgres"), "-D", str(self.cluster.data), *options],
            ENVIRONMENT,
            cwd=Path("/"),
            account=self.cluster.account,
            death_signal=SIGINT,
        )

    def is_ready(self) -> bool:
        """Whether a query is answered."""
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def release(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None

    def _options(self) -> dict[str, str]:
        return self._settings | {
            "listen_addresses": "",
            "unix_socket_directories": str(self.cluster.socket),
            "port": str(PORT),
            "unix_socket_permissions": "0700",
            "cluster_name": "caravan",
            "log_destination": "stderr",
            "logging_collector": "off",
            "fsync": "on",
            "timezone": "UTC",
        }

    def _end_orphans(self) -> None:
        """End what an earlier owner that was killed left running on this very data folder.

        We hold the lock, so nobody owns it any more. The postmaster first: it ends its own processes in order. What
        is left has lost its postmaster; a new one would refuse to start beside it.
        """
        masters = [process for process in self._servers() if process.pid == self._written_pid()]
        orphans.end(masters, [(SIGINT, 30), (SIGQUIT, 5), (SIGKILL, 5)])
        left = orphans.end(self._servers(), [(None, 2), (SIGQUIT, 5), (SIGKILL, 5)])
        if left:
            raise OrphanRemains(self.name, self.cluster.data, [process.pid for process in left])

    def _servers(self) -> list[psutil.Process]:
        data = str(self.cluster.data.resolve())
        return orphans.find("postgres", lambda process: process.cwd() == data)

    def _written_pid(self) -> int | None:
        try:
            return int((self.cluster.data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def failure(self, reason: str) -> EmbeddedError:
        if "pre-existing shared memory block" in self.log.tail():
            return OrphanRemains(self.name, self.cluster.data, [process.pid for process in self._servers()])
        return super().failure(reason)
