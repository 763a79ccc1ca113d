"""Processes are killed with -9, and NATS is wiped, while agents work: nothing is lost, and no model is asked again for
what is recorded."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from gateway.cli.runs import FINISHED, read_tasks
from tests.invariants import GAPS
from tests.living_caravan import LivingCaravan
from tests.requirements import needs_real_inputs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VICTIMS = ("worker", "gateway", "worker", "projectors", "worker", "postgres", "worker", "nats")
RUNS = 20

Run = dict[str, Any]


@pytest.fixture(scope="module")
def asked_before(caravan: LivingCaravan) -> Counter[str]:
    return requests_of(caravan)


@pytest.fixture(scope="module")
def runs(caravan: LivingCaravan, asked_before: Counter[str]) -> list[Run]:
    """A batch of runs, finished although the victims died on the way."""
    batch, waiting, chance = f"survival-{uuid4().hex[:8]}", list(VICTIMS), random.Random(7)
    tasks = read_tasks(needs_real_inputs() / "mt_bench_questions.jsonl")[:RUNS]
    api = caravan.api()
    body = {"tasks": tasks, "batch": batch, "max_tokens": 12}
    answer = api.post("/v1/workflows/batch", json=body, headers={"Idempotency-Key": batch})
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 500
    while True:
        assert time.monotonic() < deadline, "the runs do not finish"
        found = runs_of(api, batch)
        if waiting and caravan.is_up() and any(run["steps"] for run in found):
            time.sleep(chance.uniform(0, 2))
            victim = waiting.pop(0)
            if victim == "nats":  # not killed alone: it has forgotten everything, too
                shutil.rmtree(caravan.home / "nats" / "jetstream")
            caravan.kill(victim)
        if not waiting and caravan.is_up() and len(found) == RUNS and all(run["state"] in FINISHED for run in found):
            return found
        time.sleep(0.3)


def test_every_run_is_completed_and_every_victim_is_back(runs: list[Run], caravan: LivingCaravan) -> None:
    assert [run["state"] for run in runs] == ["completed"] * RUNS, [run["reason"] for run in runs]
    assert all(caravan.processes().child(victim).restarts for victim in VICTIMS)


def test_no_step_is_missing_or_doubled(runs: list[Run], caravan: LivingCaravan) -> None:
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


def test_no_model_is_asked_again_for_what_is_recorded(
    runs: list[Run], caravan: LivingCaravan, asked_before: Counter[str]
) -> None:
    """By the model server's own log. A call is made again only where a worker died before it could record the answer,
    and then the step says so."""
    asked = requests_of(caravan) - asked_before
    again = {digest: times for digest, times in asked.items() if times > 1}
    assert len(asked) == sum(run["steps"] for run in runs)
    assert sum(times - 1 for times in again.values()) <= sum(run["repeated"] for run in runs)
    with caravan.api() as api:
        attempts = [step["attempt"] for run in runs for step in steps_of(api, run)]
    assert sum(attempt - 1 for attempt in attempts) == sum(run["repeated"] for run in runs)


def runs_of(api: httpx.Client, batch: str) -> list[Run]:
    try:
        answer = api.get("/v1/workflows", params={"batch": batch, "limit": 200})
    except httpx.TransportError:  # the gateway is among the victims
        return []
    return list(answer.json()["items"]) if answer.is_success else []


def steps_of(api: httpx.Client, run: Run) -> list[dict[str, Any]]:
    found = api.get(f"/v1/workflows/{run['run_id']}/steps", params={"limit": 200}).json()
    assert found["next"] is None
    return list(found["items"])


def requests_of(caravan: LivingCaravan) -> Counter[str]:
    """How often the model server was asked what, by the hashes of the requests."""
    return Counter(_hashes(caravan))


def _hashes(caravan: LivingCaravan) -> Iterator[str]:
    for file in (caravan.home / "logs").glob("model-server.log*"):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("{") and (digest := json.loads(line).get("request_sha256")):
                yield digest
