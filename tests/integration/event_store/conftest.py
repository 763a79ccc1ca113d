"""An event store on each real server: PostgreSQL 18 as embedded, and the one that the system brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters.event_store import PostgresEventStore


@pytest.fixture(params=["embedded", "external"])
def migrated(request: pytest.FixtureRequest) -> str:
    """The URL of a database with our tables, on either server."""
    url: str = request.getfixturevalue({"embedded": "database", "external": "external_database"}[request.param])
    return url


@pytest.fixture
def store(migrated: str) -> Iterator[PostgresEventStore]:
    with closing(PostgresEventStore(migrated)) as store:
        yield store
