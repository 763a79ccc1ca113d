"""A log of the test's own, and its sealer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.sealing import sealer as sealer_module
from adapters.sealing.seal import Seal, seals
from adapters.sealing.sealer import Sealer
from domain.steps import Task
from domain.workflow import Workflow
from gateway.bootstrap import open_engine
from tests import story
from tests.conftest import new_database
from tests.integration.sealing.suspect import Scene, Suspect, set_scene


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


@pytest.fixture(scope="package")
def scene(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with new_database(embedded_postgres, template) as url, set_scene(url, tmp_path_factory.mktemp("keys")) as scene:
        yield scene


@pytest.fixture
def suspect(scene: Scene) -> Iterator[Suspect]:
    suspect = Suspect(scene)
    yield suspect
    suspect.become("untouched")
