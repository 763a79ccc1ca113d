"""The real servers that tests of every kind share: started once, when the first test asks for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.schema import upgrade
from tests.external_postgres import ExternalPostgres
from tests.requirements import needs_external_postgres


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Of a short path, unlike pytest's own: a unix socket lies in there."""
    folder = Path(mkdtemp(prefix="caravan-test-"))
    yield folder
    shutil.rmtree(folder)


class HastyPostgres(EmbeddedPostgres):
    """Does not wait for the disk, which would matter in a power cut alone."""

    def _options(self) -> dict[str, str]:
        return super()._options() | {"fsync": "off"}


@pytest.fixture(scope="session")
def embedded_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with HastyPostgres(servers_folder / "postgres", servers_folder / "logs" / "postgres.log") as server:
        yield server
    shutil.rmtree(server.cluster.folder)


@pytest.fixture(scope="session")
def postgres(embedded_postgres: EmbeddedPostgres) -> str:
    """The `postgresql://` URL of an embedded PostgreSQL, as its superuser; the database is `postgres`."""
    return embedded_postgres.url()


@pytest.fixture(scope="session")
def template(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The name of a database with our tables, for `new_database` to copy: that is quicker than to migrate each one."""
    with migrated_database(embedded_postgres) as name:
        yield name


@pytest.fixture
def database(embedded_postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The `postgresql://` URL of a database of the test's own, with our tables and nothing in them."""
    with new_database(embedded_postgres, template) as url:
        yield url


@pytest.fixture
def empty_database(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The same without our tables."""
    with new_database(embedded_postgres) as url:
        yield url


@pytest.fixture(scope="session")
def external_postgres(servers_folder: Path) -> Iterator[ExternalPostgres]:
    """The PostgreSQL that the system brings, over TCP; the test is skipped where there is none."""
    with ExternalPostgres(needs_external_postgres(), servers_folder / "logs" / "external-postgres.log") as server:
        yield server


@pytest.fixture(scope="session")
def external_template(external_postgres: ExternalPostgres) -> Iterator[str]:
    """As `template`, there."""
    with migrated_database(external_postgres) as name:
        yield name


@pytest.fixture
def external_database(external_postgres: ExternalPostgres, external_template: str) -> Iterator[str]:
    """As `database`, outside of Caravan's care."""
    with new_database(external_postgres, external_template) as url:
        yield url


@pytest.fixture
def empty_external_database(external_postgres: ExternalPostgres) -> Iterator[str]:
    """The same without our tables."""
    with new_database(external_postgres) as url:
        yield url


class Server(Protocol):
    """A PostgreSQL that runs."""

    def url(self, database: str = ..., /) -> str: ...


@contextmanager
def new_database(server: Server, template: str = "template1") -> Iterator[str]:
    """The URL of a copy of that database, to which nobody may be connected."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        yield server.url(name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def migrated_database(server: Server) -> Iterator[str]:
    """The name of a database with our tables."""
    with new_database(server) as url:
        upgrade(url)
        yield conninfo_to_dict(url)["dbname"]


@pytest.fixture(scope="session")
def nats(servers_folder: Path) -> Iterator[str]:
    """The `nats://TOKEN@127.0.0.1:PORT` URL of an embedded nats-server with JetStream."""
    with EmbeddedNats(servers_folder / "nats", servers_folder / "logs" / "nats.log") as server:
        yield server.url
