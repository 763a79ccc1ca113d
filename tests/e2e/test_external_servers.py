"""DATABASE_URL and NATS_URL point at servers of somebody else's, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.embedded.nats_server import EmbeddedNats
from tests.living_caravan import living_caravan
from tests.loop import Loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_run_is_played_on_another_postgres_and_another_nats(empty_external_database: str, tmp_path: Path) -> None:
    with (
        EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as nats,
        living_caravan(DATABASE_URL=empty_external_database, NATS_URL=nats.url) as caravan,
    ):
        assert not {"postgres", "nats"} & {child.name for child in caravan.processes().children}

        api = caravan.api()
        run = Loop(api).run("Name a river.")["run_id"]

        health: dict[str, Any] = api.get("/health").json()
        assert {check["name"]: check["state"] for check in health["checks"]}["nats"] == "ok"
        with psycopg.connect(empty_external_database) as db:
            (version,) = db.execute("SHOW server_version_num").fetchone() or ()
            (steps,) = db.execute("SELECT count(*) FROM interaction_logs WHERE run_id = %s", [run]).fetchone() or ()
    assert int(version) < 180000, "the embedded one is 18"
    assert steps == 4 + 4 * 3
