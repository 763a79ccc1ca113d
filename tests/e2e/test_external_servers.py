"""DATABASE_URL and NATS_URL point at servers of somebody else's, and nothing else changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.embedded.nats_server import EmbeddedNats
from tests.living_caravan import living_caravan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_run_is_played_on_another_postgres_and_another_nats(empty_external_database: str, tmp_path: Path) -> None:
    with (
        EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as nats,
        living_caravan(DATABASE_URL=empty_external_database, NATS_URL=nats.url) as caravan,
    ):
        assert not {"postgres", "nats"} & {child.name for child in caravan.processes().children}

        api = caravan.api()
        body = {"task": {"turns": ["Name a river."]}, "max_tokens": 8}
        run = api.post("/v1/workflows", json=body, headers={"Idempotency-Key": "once"}).json()["id"]
        deadline = time.monotonic() + 120
        while (state := api.get(f"/v1/workflows/{run}").json().get("state")) != "completed":
            assert state in (None, "requested", "running")
            assert time.monotonic() < deadline
            time.sleep(0.5)

        health: dict[str, Any] = api.get("/health").json()
        assert {check["name"]: check["state"] for check in health["checks"]}["nats"] == "ok"
        with psycopg.connect(empty_external_database) as db:
            (version,) = db.execute("SHOW server_version_num").fetchone() or ()
            (steps,) = db.execute("SELECT count(*) FROM interaction_logs WHERE run_id = %s", [run]).fetchone() or ()
    assert int(version) < 180000, "the embedded one is 18"
    assert steps == 4 + 4 * 3
