"""In containers, too, nobody is told more than the process needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.stack import SEALER, SERVERS, WITHHELD

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


def test_the_seals_key_is_where_the_log_is_sealed_and_nowhere_else(services):
    holders = [name for name, service in services.items() if "seal-key" in str(service.get("volumes"))]
    assert holders == [SEALER]
    assert "CARAVAN_SEAL_KEY_FILE" in services[SEALER]["environment"]


def test_public_keys_and_anchors_are_written_by_the_sealer_and_only_read_by_the_gateway(services):
    mounts = {
        name: mount for name, service in services.items() for mount in service.get("volumes", ()) if "seals:" in mount
    }
    assert mounts == {SEALER: f"seals:{SEALS}", "gateway": f"seals:{SEALS}:ro"}
    for name in mounts:
        for setting in ("CARAVAN_SEAL_KEYRING_FILE", "CARAVAN_ANCHOR_FILE"):
            assert services[name]["environment"][setting].startswith(f"{SEALS}/")
