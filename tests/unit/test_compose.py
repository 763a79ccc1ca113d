"""In containers, too, nobody is told more than the process needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.console_account import MAY_HEAR, MAY_PUBLISH, USER
from gateway.stack import CONSOLE, SEALER, SERVERS, WITHHELD

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
SEALS = "/var/lib/caravan-seals"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    ours: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return ours


@pytest.mark.parametrize("name", WITHHELD)
def test_a_process_is_not_told_what_the_supervisor_would_withhold(services, name):
    assert services[name]["environment"].keys().isdisjoint(WITHHELD[name])


@pytest.mark.parametrize("name", ["migrate", "gateway", "projectors", "worker", "trainer"])
def test_a_process_that_needs_the_servers_is_told_where_they_are(services, name):
    assert services[name]["environment"].keys() >= SERVERS


def test_the_console_alone_is_told_of_its_own_account_at_nats(services):
    holders = [
        name for name, service in services.items() if "CARAVAN_CONSOLE_NATS_URL" in service.get("environment", ())
    ]
    assert holders == [CONSOLE]
    assert services[CONSOLE]["environment"]["CARAVAN_CONSOLE_NATS_URL"].startswith(f"nats://{USER}:")


def test_the_deployed_nats_lets_the_console_do_what_the_embedded_one_does():
    configured = (COMPOSE.parent / "nats" / "caravan.conf").read_text(encoding="utf-8")
    allowed = re.findall(r'"([$_][^"]+)"', configured)
    assert allowed == [*MAY_PUBLISH, *MAY_HEAR]


def test_the_seals_key_is_where_the_log_is_sealed_and_nowhere_else(services):
    holders = [name for name, service in services.items() if "seal-key" in str(service.get("volumes"))]
    assert holders == [SEALER]
    assert "CARAVAN_SEAL_KEY_FILE" in services[SEALER]["environment"]


def test_public_keys_and_anchors_are_written_by_the_sealer_and_only_read_by_those_who_verify(services):
    mounts = {
        name: mount for name, service in services.items() for mount in service.get("volumes", ()) if "seals:" in mount
    }
    read_only = f"seals:{SEALS}:ro"
    assert mounts == {SEALER: f"seals:{SEALS}", "gateway": read_only, "worker": read_only}
    for name in mounts:
        for setting in ("CARAVAN_SEAL_KEYRING_FILE", "CARAVAN_ANCHOR_FILE"):
            assert services[name]["environment"][setting].startswith(f"{SEALS}/")


WATCHERS = ("otel-collector", "prometheus", "grafana")


@pytest.mark.parametrize("name", WATCHERS)
def test_who_watches_comes_only_when_asked_and_is_told_no_secret_of_ours(services, name):
    watcher = services[name]
    assert watcher["profiles"] == ["observability"]
    assert watcher.get("environment", {}).keys().isdisjoint(SERVERS | {"CARAVAN_MODEL_KEY", "CARAVAN_SENTRY_DSN"})
    assert "ports" not in watcher, "each listens on loopback by its own settings"


@pytest.mark.parametrize("name", WATCHERS)
def test_what_is_mounted_from_here_is_there(services, name):
    mounts = [mount.split(":")[0] for mount in services[name]["volumes"] if mount.startswith("./")]
    assert mounts
    assert all((COMPOSE.parent / mount).exists() for mount in mounts)
