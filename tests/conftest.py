"""The real servers that tests of every kind share: started once, when the first test asks for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from tests.external_postgres import ExternalPostgres
from tests.requirements import needs_external_postgres


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Of a short path, unlike pytest's own: a unix socket lies in there."""
    folder = Path(mkdtemp(prefix="caravan-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def embedded_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(servers_folder / "postgres", servers_folder / "logs" / "postgres.log") as server:
        yield server
    shutil.rmtree(server.cluster.folder)


@pytest.fixture(scope="session")
def postgres(embedded_postgres: EmbeddedPostgres) -> str:
    """The `postgresql://` URL of an embedded PostgreSQL, as its superuser; the database is `postgres`."""
    return embedded_postgres.url()


@pytest.fixture
def database(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The `postgresql://` URL of an empty database of the test's own."""
    with empty_database(embedded_postgres.url()) as name:
        yield embedded_postgres.url(name)


@pytest.fixture(scope="session")
def external_postgres(servers_folder: Path) -> Iterator[ExternalPostgres]:
    """The PostgreSQL that the system brings, over TCP; the test is skipped where there is none."""
    with ExternalPostgres(needs_external_postgres(), servers_folder / "logs" / "external-postgres.log") as server:
        yield server


@pytest.fixture
def external_database(external_postgres: ExternalPostgres) -> Iterator[str]:
    """The `postgresql://` URL of an empty database of the test's own, outside of Caravan's care."""
    with empty_database(external_postgres.url()) as name:
        yield external_postgres.url(name)


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """Its name, on that server."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def nats(servers_folder: Path) -> Iterator[str]:
    """The `nats://TOKEN@127.0.0.1:PORT` URL of an embedded nats-server with JetStream."""
    with EmbeddedNats(servers_folder / "nats", servers_folder / "logs" / "nats.log") as server:
        yield server.url
