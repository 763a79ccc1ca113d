"""Every process is killed with -9 once while agents work: nothing is lost, nothing is done twice."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.invariants import GAPS
from tests.living_caravan import LivingCaravan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VICTIMS = ("worker", "gateway", "projectors", "postgres", "nats")
TASKS = 10


@pytest.fixture(scope="module")
def runs(caravan: LivingCaravan) -> list[dict[str, Any]]:
    """A batch of runs, finished although each victim died on the way."""
    batch, total = f"survival-{uuid4().hex[:8]}", TASKS
    tasks = [{"turns": [f"Name {n} things.", "Name another."]} for n in range(1, TASKS + 1)]
    api = caravan.api()
    body = {"kind": "mutual_ranking", "tasks": tasks, "batch": batch, "max_tokens": 16}
    answer = api.post("/v1/workflows/batch", json=body, headers={"Idempotency-Key": batch})
    assert answer.status_code == 202, answer.text
    waiting, deadline = list(VICTIMS), time.monotonic() + 400
    while True:
        assert time.monotonic() < deadline, "the runs do not finish"
        found = _runs_of(api, batch)
        done = sum(run["state"] not in ("requested", "running") for run in found)
        if waiting and caravan.is_up() and any(run["steps"] for run in found):
            caravan.kill(waiting.pop(0))
        if done == total and not waiting and caravan.is_up():
            return found
        time.sleep(0.5)


def test_every_run_is_completed_and_every_victim_is_back(runs: list[dict[str, Any]], caravan: LivingCaravan) -> None:
    assert [run["state"] for run in runs] == ["completed"] * TASKS, [run["reason"] for run in runs]
    assert all(caravan.processes().child(victim).restarts for victim in VICTIMS)


def test_no_step_is_missing_or_doubled(runs: list[dict[str, Any]], caravan: LivingCaravan) -> None:
    for run in runs:
        agents, turns = len(run["agents"]), run["turns"]
        assert run["steps"] == agents * turns + agents * (agents - 1)
        assert run["ballots"] == agents * (agents - 1) * (agents - 2) // 2
    steps = "SELECT data->'step'->>'id' AS id FROM event_log WHERE type = 'workflow.step_recorded'"
    with psycopg.connect(caravan.postgres.url()) as db:
        recorded, distinct = db.execute(f"SELECT count(*), count(DISTINCT id) FROM ({steps}) AS steps").fetchone() or ()
        (gaps,) = db.execute(GAPS).fetchone() or ()
    assert recorded == distinct >= sum(run["steps"] for run in runs)
    assert gaps == 0


def _runs_of(api: httpx.Client, batch: str) -> list[dict[str, Any]]:
    try:
        answer = api.get("/v1/workflows", params={"batch": batch, "limit": 200})
    except httpx.TransportError:  # the gateway is among the victims
        return []
    return list(answer.json()["items"]) if answer.is_success else []
