"""The server that ours and its peers share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.embedded.postgres import EmbeddedPostgres


@contextmanager
def server(**settings: str) -> Iterator[Callable[[], str]]:
    """A throw-away PostgreSQL, as Caravan embeds it but for these settings; each call gives an empty database."""
    folder = Path(mkdtemp(prefix="caravan-bench-"))
    try:
        with EmbeddedPostgres(folder / "postgres", folder / "postgres.log", settings) as server:
            count = iter(range(1000))

            def database() -> str:
                name = f"bench_{next(count)}"
                with psycopg.connect(server.url(), autocommit=True) as admin:
                    admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
                return server.url(name)

            yield database
        shutil.rmtree(server.cluster.folder)
    finally:
        shutil.rmtree(folder)
