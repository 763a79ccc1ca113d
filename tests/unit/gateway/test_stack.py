"""What each process is told: nobody learns a secret that it does not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.stack import environment, keyed

SETTINGS = Settings(
    database_url="postgresql://u:p@db/x", nats_url="nats://t@nats:4222", model_key="key", token="crv_me"
)
INHERITED = {
    "PATH": "/bin",
    "OPENAI_API_KEY": "sk-1",
    "CARAVAN_TOKEN": "crv_me",
    "CARAVAN_MODEL_KEY": "key",
    "DATABASE_URL": "postgresql://u:p@db/x",
    "NATS_URL": "nats://t@nats:4222",
    "PGPASSWORD": "p",
}
DATABASE = {"DATABASE_URL", "PGPASSWORD"}


def secrets_of(name: str) -> set[str]:
    return set(environment(SETTINGS, name, INHERITED)) & (set(INHERITED) - {"PATH"})


def test_the_console_learns_no_secret() -> None:
    assert secrets_of("ui") == set()


@pytest.mark.parametrize("name", ["model-server", "prepare-model"])
def test_the_models_server_learns_its_own_key_alone(name: str) -> None:
    assert secrets_of(name) == {"CARAVAN_MODEL_KEY"}


def test_the_worker_learns_its_servers_and_its_agents_keys_but_nobodys_token() -> None:
    assert secrets_of("worker") == {*DATABASE, "NATS_URL", "CARAVAN_MODEL_KEY", "OPENAI_API_KEY"}


@pytest.mark.parametrize("name", ["migrate", "gateway", "projectors", "trainer"])
def test_the_others_learn_their_servers_and_no_agents_key(name: str) -> None:
    assert secrets_of(name) == {*DATABASE, "NATS_URL", "CARAVAN_MODEL_KEY"}


def test_every_process_is_told_its_settings() -> None:
    told = environment(SETTINGS, "ui", INHERITED)
    assert (told["PATH"], told["CARAVAN_UI_PORT"], told["CARAVAN_HOST"]) == ("/bin", "8501", "127.0.0.1")


def test_the_models_server_asks_for_no_database(tmp_path: Path) -> None:
    settings = keyed(Settings(database_url=None, nats_url=None, home=tmp_path))
    assert settings.model_key
    assert (settings.database_url, settings.nats_url) == (None, None)
    assert keyed(settings) == settings
    assert sorted(file.name for file in tmp_path.iterdir()) == ["logs", "model-key", "models", "run"]
