"""A gateway on a real database of its own, with a token for every role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from adapters.embedded.postgres import EmbeddedPostgres
from domain.access import Role
from domain.events import ActorKind
from gateway.app import create_app
from gateway.bootstrap import Core, open_core
from gateway.settings import Settings
from projections import ALL, DERIVED, derived
from projections.engine import catch_up
from tests import story
from tests.conftest import new_database

AGENTS = Path("configs/agents.yaml").read_text()
PAIR = {
    "prompt": [{"role": "user", "content": "Name a prime."}],
    "chosen": [{"role": "assistant", "content": "7"}],
    "rejected": [{"role": "assistant", "content": "9"}],
}


class Gateway:
    """The app, and what tests do with it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.app = create_app(core)
        self.tokens = {role: core.tokens.create(role.value, role, ActorKind.HUMAN, by="test") for role in Role}

    def client(self, role: Role | None = Role.ADMIN, token: str | None = None) -> httpx.AsyncClient:
        """Speaks to the app without a network, as that role (None: as a stranger)."""
        token = token or (self.tokens[role] if role else None)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=transport, base_url="http://caravan", headers=headers)

    def catch_up(self) -> None:
        """What the projectors would do."""
        for projector in ALL:
            catch_up(self.core.engine, self.core.store, projector)
        for each in DERIVED:
            derived.catch_up(self.core.engine, each)

    def tell(self, *aggregates: object) -> None:
        """Lets a part of the story happen."""
        for aggregate in aggregates or story.everything():
            self.core.store.session(story.envelope(aggregate)).save(aggregate)  # type: ignore[arg-type]
        self.catch_up()


@contextmanager
def opened(database_url: str, folder: Path, nats_url: str = "nats://127.0.0.1:1", **given: object) -> Iterator[Gateway]:
    """A gateway on that database, with its files in that folder, and these settings. The model server is away, and NATS
    but for a URL."""
    home = folder / "home"
    home.mkdir()
    settings = Settings(
        database_url=database_url,
        nats_url=nats_url,
        model_url="http://127.0.0.1:1/v1",
        home=home,
        artifacts=folder / "artifacts",
        **{"max_body_bytes": 65_536} | given,
    )
    with open_core(settings) as core:
        yield Gateway(core)


@pytest.fixture
def gateway(database: str, tmp_path: Path) -> Iterator[Gateway]:
    with opened(database, tmp_path) as gateway:
        yield gateway


@pytest.fixture
def told(gateway: Gateway) -> Gateway:
    """A gateway after the whole story, to be changed."""
    gateway.tell()
    return gateway


@pytest.fixture(scope="module")
def library(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway after the whole story that all tests of a module share: only to be read."""
    with new_database(embedded_postgres, template) as url, opened(url, tmp_path_factory.mktemp("library")) as gateway:
        gateway.tell()
        yield gateway


async def put_agents(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/agents", content=AGENTS)
    assert answer.status_code == 200, answer.text
