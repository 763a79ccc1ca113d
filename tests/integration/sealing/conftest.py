"""A log of the test's own, and its sealer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.event_store import PostgresEventStore
from adapters.sealing import sealer as sealer_module
from adapters.sealing.seal import Seal, seals
from adapters.sealing.sealer import Sealer
from domain.workflow import Task, Workflow
from gateway.bootstrap import open_engine
from tests import story


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database)
    yield store
    store.close()


@pytest.fixture
def engine(database: str, store: PostgresEventStore) -> Iterator[Engine]:
    engine = open_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def sealer(engine: Engine, tmp_path: Path) -> Sealer:
    return Sealer(engine, tmp_path / "secret" / "key", tmp_path / "keyring", seconds=0.01)


def tell(store: PostgresEventStore) -> int:
    for aggregate in story.everything():
        store.session(story.ENVELOPE).save(aggregate)
    return store.head()


def one_more() -> Workflow:
    return Workflow.request(story.id_of("more"), "mutual_ranking", Task(("?",)), 1, (), "", None, at=story.at(0))


def all_seals(engine: Engine) -> list[Seal]:
    with engine.connect() as db:
        return list(seals(db))


def seal_in_batches(sealer: Sealer, size: int) -> None:
    """Many seals of a few events."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sealer_module, "BATCH", size)
        sealer.seal_all()
