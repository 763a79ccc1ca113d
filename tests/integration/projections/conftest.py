"""A store with the whole story in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from adapters.event_store import PostgresEventStore
from adapters.schema import upgrade
from tests import story


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    upgrade(database)
    store = PostgresEventStore(database)
    yield store
    store.close()


@pytest.fixture
def engine(database: str, store: PostgresEventStore) -> Iterator[Engine]:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture
def told(store: PostgresEventStore) -> PostgresEventStore:
    """The store with the whole story in it."""
    for aggregate in story.everything():
        store.session(story.envelope(aggregate)).save(aggregate)
    return store
