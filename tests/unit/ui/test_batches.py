from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.ui.screen import button, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

BATCH: dict[str, Any] = {
    "batch_id": "b1",
    "name": "quiz *1*",
    "kind": "mutual_ranking",
    "state": "running",
    "at_once": 3,
    "tasks": 12,
    "requested": 7,
    "waiting": 6,
    "running": 2,
    "paused": 0,
    "completed": 3,
    "failed": 1,
    "timed_out": 0,
    "exhausted": 0,
    "stopped": 0,
    "input_tokens": 900,
    "output_tokens": 100,
    "reason": None,
    "requested_at": "2026-01-01T00:00:00Z",
    "actor": "eva",
}
RUN = {"run_id": "r1", "task": "Why?", "ref": "1", "state": "running", "steps": 4, "output_tokens": 30, "reason": None}

pytestmark = pytest.mark.usefixtures("eva")


def page(*items: Any) -> dict[str, Any]:
    return {"items": items, "next": None, "position": 9}


def test_a_list_of_batches_shows_how_far_each_is(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/batches"] = page(BATCH)
    (frame,) = opened("batches").dataframe
    assert list(frame.value["done"]) == [4 / 12]
    assert list(frame.value["short"]) == [1]


def test_a_stopped_task_is_not_done(gateway: ScriptedGateway) -> None:
    gateway.standing |= {"/v1/batches": page(BATCH | {"state": "stopped", "stopped": 8})}
    (frame,) = opened("batches").dataframe
    assert list(frame.value["done"]) == [4 / 12]


def test_a_batch_shows_its_runs_and_is_paused_by_one_press(gateway: ScriptedGateway) -> None:
    gateway.standing |= {"/v1/batches/b1": BATCH, "/v1/workflows": page(RUN)}
    screen = opened("batches", batch="b1")
    assert texts(screen.title) == ["quiz \\*1\\*"]
    assert [metric.value for metric in screen.metric] == ["6", "2", "3", "1", "0", "1,000"]
    assert "batch=b1" in next(each.path for each in gateway.requests if each.path.startswith("/v1/workflows"))
    gateway.answers_with({"id": "b1", "version": 9, "position": 12})
    button(screen, "Pause").click().run()
    sent = next(request for request in gateway.requests if request.method == "POST")
    assert (sent.path, json.loads(sent.body)) == ("/v1/batches/b1/pause", {"reason": ""})


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("running", {"Pause", "Stop", "Retry"}),
        ("paused", {"Resume", "Stop", "Retry"}),
        ("completed", {"Retry"}),
        ("stopped", set()),
    ],
)
def test_only_what_can_be_done_about_it_is_offered(gateway: ScriptedGateway, state: str, verbs: set[str]) -> None:
    gateway.standing |= {"/v1/batches/b1": BATCH | {"state": state}, "/v1/workflows": page(RUN)}
    screen = opened("batches", batch="b1")
    assert {one.label for one in screen.button} & {"Pause", "Resume", "Retry", "Stop"} == verbs
