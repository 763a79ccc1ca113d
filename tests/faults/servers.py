"""The servers that process seeds share: one PostgreSQL, with an empty database for each seed, and room for NATS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.sql import SQL, Identifier

from adapters import schema
from adapters.embedded.postgres import PORT, EmbeddedPostgres
from tests.faults.disks import SmallDisk, small_disk

TEMPLATE = "caravan"
POSTGRES_MEBIBYTES = 768
NATS_MEBIBYTES = 64
SETTINGS = {"max_wal_size": "96MB", "min_wal_size": "32MB", "shared_buffers": "64MB", "autovacuum_naptime": "5s"}


@dataclass(frozen=True, slots=True)
class Servers:
    """The disks are None where none could be mounted."""

    folder: Path
    postgres: EmbeddedPostgres
    postgres_disk: SmallDisk | None
    nats_disk: SmallDisk | None

    @property
    def socket(self) -> Path:
        """Where PostgreSQL listens."""
        return self.postgres.cluster.socket / f".s.PGSQL.{PORT}"

    def revive(self) -> None:
        """There is room on the disks, and PostgreSQL runs."""
        for disk in (self.postgres_disk, self.nats_disk):
            if disk:
                disk.make_room()
        if self.postgres.exit_code() is not None or not self.postgres.is_ready():
            self.postgres.end()
            self.postgres.start()

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of a database with our tables."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as admin:
            admin.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(TEMPLATE)))
        try:
            yield self.postgres.url(name)
        finally:
            self.revive()
            self._drop(name)

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.postgres.url(), autocommit=True) as admin:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def running_servers() -> Iterator[Servers]:
    """PostgreSQL runs at first, whatever happens to it later."""
    folder = Path(mkdtemp(prefix="caravan-faults-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres_disk = stack.enter_context(small_disk(folder / "postgres", POSTGRES_MEBIBYTES))
        nats_disk = stack.enter_context(small_disk(folder / "nats", NATS_MEBIBYTES))
        home, log = folder / "postgres" / "home", folder / "postgres.log"
        postgres = EmbeddedPostgres(home, log, SETTINGS, system_folder=folder / "postgres" / "system")
        stack.callback(postgres.stop)
        folder.chmod(0o711)
        postgres.start()
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(SQL("CREATE DATABASE {}").format(Identifier(TEMPLATE)))
        schema.upgrade(postgres.url(TEMPLATE))
        yield Servers(folder, postgres, postgres_disk, nats_disk)
