"""A scripted gateway, as the command line finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.cli import client
from tests.unit.ui.scripted_gateway import ScriptedGateway, scripted_gateway


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedGateway]:
    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    with scripted_gateway() as gateway:
        monkeypatch.setenv("CARAVAN_HOME", str(tmp_path))
        monkeypatch.setenv("CARAVAN_PORT", str(urlsplit(gateway.url).port))
        monkeypatch.setenv("CARAVAN_TOKEN", "crv_secret")
        yield gateway
