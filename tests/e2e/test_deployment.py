"""A run that is paused, and goes on under other processes, says what it would have said."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.living_caravan import LivingCaravan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROCESSES = ("postgres", "nats", "gateway", "projectors", "model-server", "worker")
TASK = {"turns": ["Name three rivers.", "Now three mountains.", "Now three lakes.", "Now three seas."]}
"""Long enough to be paused on the way."""


def test_paused_deployed_and_resumed_a_run_says_what_it_says_without_a_break(caravan: LivingCaravan) -> None:
    with caravan.api() as api:
        unbroken, broken = (start(api) for _ in range(2))
        until(lambda: run(api, broken)["steps"] >= 2)
        assert api.post(f"/v1/workflows/{broken}/pause", json={"reason": "a deployment"}).is_success
        until(lambda: run(api, broken)["state"] == "paused" and run(api, broken)["worker"] is None)
        until(lambda: run(api, unbroken)["state"] == "completed")
        paused = run(api, broken)
        assert 2 <= paused["steps"] < run(api, unbroken)["steps"]

        for name in PROCESSES:
            caravan.restart(name)
        until(caravan.is_up)
        until(lambda: api.get("/health").is_success)
        until(lambda: "steps" in run(api, broken))
        assert run(api, broken)["steps"] == paused["steps"], "a paused run does nothing"

        assert api.post(f"/v1/workflows/{broken}/resume").is_success
        until(lambda: run(api, broken)["state"] == "completed")
        assert run(api, broken)["repeated"] == 0
        assert transcript(api, broken) == transcript(api, unbroken)


def start(api: httpx.Client) -> str:
    answer = api.post("/v1/workflows", json={"task": TASK, "max_tokens": 48})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def run(api: httpx.Client, id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/workflows/{id}").json()
    return found


def transcript(api: httpx.Client, id: str) -> set[tuple[object, ...]]:
    """Who was asked what, and said what. In which order a judge sees answers depends on the run."""
    steps = api.get(f"/v1/workflows/{id}/steps", params={"limit": 200}).json()["items"]
    return {
        (
            *(step["agent"], step["phase"], step["output"], step["score"] and round(step["score"], 3)),
            *(message["content"] for message in step["messages"]),
        )
        for step in steps
    }


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (httpx.TransportError, KeyError):  # the gateway, or its database, is not back yet
            pass
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.1)
