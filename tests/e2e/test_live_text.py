"""Viewers of a real run: words before the step, and a run that does not care who watches."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.living_caravan import LivingCaravan
from tests.loop import Loop, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TURNS = 4
"""So that the agents still speak when the viewers come."""


@pytest.fixture(scope="module")
def api(caravan: LivingCaravan) -> httpx.Client:
    return caravan.api()


def viewer(caravan: LivingCaravan, run: str) -> Any:
    url = f"{caravan.api_url.replace('http', 'ws', 1)}/v1/stream?workflow={run}&after=0&deltas=true"
    return connect(url, additional_headers={"Authorization": f"Bearer {caravan.token}"})


def test_words_come_before_their_step_and_add_up_to_it_and_the_run_goes_on_when_nobody_watches(
    caravan: LivingCaravan, api: httpx.Client
) -> None:
    body = {"task": {"turns": ["Name a fish."] * TURNS}, "max_tokens": 24}
    run = Loop(api).post("/v1/workflows", body)["id"]
    said: dict[str, list[str]] = defaultdict(list)
    recorded: dict[str, str] = {}
    with viewer(caravan, run) as stays:
        with viewer(caravan, run) as leaves:
            while json.loads(leaves.recv(timeout=60))["type"] != "token_delta":
                pass
        while not recorded.keys() >= said.keys() or not recorded:
            match json.loads(stays.recv(timeout=60)):
                case {"type": "token_delta", "step": step, "seq": seq, "text": text}:
                    assert step not in recorded
                    if seq == 0:
                        said[step] = [text]
                    elif seq == len(said[step]):  # what follows a gap waits for the step
                        said[step].append(text)
                case {"type": "workflow.step_recorded", "data": {"step": {"id": step, "call": {"output": output}}}}:
                    recorded[step] = output
    texts = {step: "".join(pieces) for step, pieces in said.items()}
    assert texts
    assert all(recorded[step].startswith(text) for step, text in texts.items())
    assert any(recorded[step] == text for step, text in texts.items())
    assert eventually(lambda: api.get(f"/v1/workflows/{run}").json()["state"] == "completed")
