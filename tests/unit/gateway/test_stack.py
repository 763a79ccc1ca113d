"""Which processes run, where they listen, and what each is told: nobody learns a secret that it does not need."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from adapters.embedded.errors import EmbeddedError
from gateway.settings import Settings
from gateway.stack import SEALING, SESSIONS, environment, keyed, listeners, located, processes, require_free_ports

SETTINGS = Settings(
    database_url="postgresql://u:p@db/x",
    nats_url="nats://t@nats:4222",
    model_key="key",
    token="crv_me",
    sentry_dsn="https://key@sentry/1",
)
INHERITED = {
    "PATH": "/bin",
    "OPENAI_API_KEY": "sk-1",
    "CARAVAN_TOKEN": "crv_me",
    "CARAVAN_MODEL_KEY": "key",
    "DATABASE_URL": "postgresql://u:p@db/x",
    "NATS_URL": "nats://t@nats:4222",
    "PGPASSWORD": "p",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret",
    "CARAVAN_SENTRY_DSN": "https://key@sentry/1",
}
TRACING = {"OTEL_EXPORTER_OTLP_HEADERS"}
DATABASE = {"DATABASE_URL", "PGPASSWORD"}


def secrets_of(name: str) -> set[str]:
    return set(environment(SETTINGS, name, INHERITED)) & (set(INHERITED) - {"PATH"})


def test_the_console_learns_no_secret() -> None:
    assert secrets_of("ui") == set()


@pytest.mark.parametrize(("name", "tracing"), [("model-server", TRACING), ("prepare-model", set())])
def test_the_models_server_learns_its_own_key_and_where_traces_go(name: str, tracing: set[str]) -> None:
    assert secrets_of(name) == {"CARAVAN_MODEL_KEY", *tracing}


def test_the_worker_learns_its_servers_and_its_agents_keys_but_nobodys_token() -> None:
    assert secrets_of("worker") == {
        *DATABASE,
        "NATS_URL",
        "CARAVAN_MODEL_KEY",
        "OPENAI_API_KEY",
        *TRACING,
        "CARAVAN_SENTRY_DSN",
    }


@pytest.mark.parametrize("name", ["migrate", "gateway", "projectors", "trainer"])
def test_the_others_learn_their_servers_and_no_agents_key(name: str) -> None:
    assert secrets_of(name) == {*DATABASE, "NATS_URL", "CARAVAN_MODEL_KEY", *TRACING, "CARAVAN_SENTRY_DSN"}


def test_the_process_alone_that_seals_learns_where_the_seals_key_is() -> None:
    told = {"seal_key_file": "/secret/key", "anchor_webhook": "https://notary.example/?token=x"}
    sealing = Settings(database_url="postgresql://db/x", nats_url="nats://nats:4222", **told)
    assert environment(sealing, "projectors", {}).keys() >= SEALING
    for name in ("migrate", "gateway", "worker", "trainer", "model-server", "prepare-model", "ui"):
        assert environment(sealing, name, {}).keys().isdisjoint(SEALING)


def test_the_console_alone_learns_where_its_sessions_are() -> None:
    kept = SETTINGS.model_copy(update={"console_nats_url": "nats://console:p@nats:4222"})
    for name in ("migrate", "gateway", "worker", "trainer", "projectors", "model-server", "prepare-model"):
        assert environment(kept, name, {}).keys().isdisjoint(SESSIONS)
    assert environment(kept, "ui", {}).keys() >= SESSIONS


def test_the_embedded_nats_has_a_password_for_the_console_and_another_for_the_rest(tmp_path: Path) -> None:
    found = located(Settings(database_url="postgresql://db/x", nats_url=None, home=tmp_path))
    ours, consoles = urlsplit(str(found.nats_url)), urlsplit(str(found.console_nats_url))
    assert (ours.username, consoles.username) == ("caravan", "console")
    assert ours.password != consoles.password
    assert ours.port == consoles.port


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://notary.example", "notary.example"])
def test_seals_are_sent_to_web_addresses_alone(address: str) -> None:
    with pytest.raises(ValidationError, match="anchor_webhook"):
        Settings(anchor_webhook=address)


def test_every_process_is_told_its_settings() -> None:
    told = environment(SETTINGS, "ui", INHERITED)
    assert (told["PATH"], told["CARAVAN_UI_PORT"], told["CARAVAN_HOST"]) == ("/bin", "8501", "127.0.0.1")


def test_the_models_server_asks_for_no_database(tmp_path: Path) -> None:
    settings = keyed(Settings(database_url=None, nats_url=None, home=tmp_path))
    assert settings.model_key
    assert (settings.database_url, settings.nats_url) == (None, None)
    assert keyed(settings) == settings
    assert sorted(file.name for file in tmp_path.iterdir()) == ["logs", "model-key", "models", "run"]


def test_the_trainer_gets_the_base_models_files_though_somebody_else_serves_it(tmp_path: Path) -> None:
    external = Settings(
        home=tmp_path, database_url="postgresql://db/x", nats_url="nats://nats:4222", model_url="http://vllm/v1"
    )
    names = [process.name for process in processes(external)]
    assert "model-server" not in names
    assert names.index("prepare-model") < names.index("trainer")


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A listener on another address of this machine than the usual one."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        yield listener


def at(host: str, port: int) -> Settings:
    return Settings(host=host, port=port, ui_port=0, model_port=0, nats_port=0, database_url=None, nats_url=None)


def test_a_port_is_asked_for_at_the_address_that_the_gateway_listens_on(elsewhere: socket.socket) -> None:
    host, port = elsewhere.getsockname()
    require_free_ports(at("127.0.0.1", port))
    with pytest.raises(EmbeddedError, match=rf"{host}:{port}.*CARAVAN_PORT"):
        require_free_ports(at(host, port))


def test_the_gateway_is_ready_when_it_answers_at_its_own_address(elsewhere: socket.socket, tmp_path: Path) -> None:
    host, port = elsewhere.getsockname()
    stack = processes(SETTINGS.model_copy(update={"home": tmp_path, "host": host, "port": port}))
    (gateway,) = [process for process in stack if process.name == "gateway"]
    elsewhere.settimeout(5)
    assert not gateway.is_ready()
    assert elsewhere.accept()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8400"),
        ("10.1.2.3", "http://10.1.2.3:8400"),
        ("0.0.0.0", "http://127.0.0.1:8400"),  # noqa: S104 - what is tested
        ("::", "http://[::1]:8400"),
        ("fd00::7", "http://[fd00::7]:8400"),
    ],
)
def test_the_api_is_reached_at_the_address_that_is_listened_on(host: str, url: str) -> None:
    assert Settings(host=host).api_url == url


def test_nobody_listens_in_an_external_servers_place() -> None:
    assert {one.process for one in listeners(SETTINGS)} == {"gateway", "ui", "model-server"}
    assert {one.process for one in listeners(Settings(database_url=None, nats_url=None))} >= {"nats", "model-server"}
