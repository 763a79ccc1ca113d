from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.ui.screen import button, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

DEAD: dict[str, Any] = {
    "job_id": "j1",
    "kind": "clean-up",
    "queue": "maintenance",
    "priority": "normal",
    "state": "dead",
    "payload": {"log_days": 90},
    "attempt": 5,
    "progress": None,
    "error": "no *disk*",
    "reason": "all 5 attempts failed: no *disk*",
    "result": None,
    "requested_at": "2026-01-01T00:00:00Z",
    "actor": "scheduler",
    "history": [
        {"time": "2026-01-01T00:00:00Z", "type": "job.attempt_failed", "data": {"attempt": 5, "error": "no *disk*"}}
    ],
}
QUEUE = {"queue": "maintenance", "depth": 3, "resting": 1, "running": 2, "dead": 1, "failures": 5, "oldest_seconds": 61}

pytestmark = pytest.mark.usefixtures("eva")


def page(*items: Any) -> dict[str, Any]:
    return {"items": items, "next": None, "position": 9}


def test_queues_jobs_and_schedules_are_seen_at_once(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/jobs"] = page(DEAD)
    gateway.standing["/v1/jobs/queues"] = page(QUEUE)
    gateway.standing["/v1/schedules"] = page(
        {"name": "clean-up", "cron": "30 3 * * *", "next_due": "2026-01-02T03:30:00Z", "last_job": DEAD}
    )
    screen = opened("jobs")
    asked = {request.path for request in gateway.requests}
    assert asked >= {"/v1/jobs/kinds", "/v1/jobs/queues", "/v1/schedules"}  # which come whole, and take no limit
    queues, jobs, schedules = (frame.value for frame in screen.dataframe)
    assert (list(queues["depth"]), list(queues["dead"])) == ([3], [1])
    assert list(jobs["state"]) == list(schedules["state"]) == [["dead"]]


def test_a_job_is_asked_for_and_opened(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/jobs/kinds"] = page({"name": "clean-up", "purpose": "Removes leftovers"})
    screen = opened("jobs")
    gateway.answers_with({"id": "j1", "version": 1, "position": 9}, status=202)
    gateway.standing["/v1/jobs/j1"] = DEAD
    button(screen, "Ask for it").click().run()
    sent = next(request for request in gateway.requests if request.method == "POST")
    assert (sent.path, json.loads(sent.body)) == ("/v1/jobs", {"kind": "clean-up"})
    assert texts(screen.title) == ["clean\\-up"]


def test_a_dead_letter_says_why_and_is_replayed_by_one_press(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/jobs/j1"] = DEAD
    screen = opened("jobs", job="j1")
    assert texts(screen.warning) == ["all 5 attempts failed\\: no \\*disk\\*"]
    gateway.answers_with({"id": "j1", "version": 9, "position": 12})
    button(screen, "Replay").click().run()
    assert [request.path for request in gateway.requests if request.method == "POST"] == ["/v1/jobs/j1/replay"]


def test_a_dead_letter_is_let_be_by_one_press(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/jobs/j1"] = DEAD
    screen = opened("jobs", job="j1")
    gateway.answers_with({"id": "j1", "version": 9, "position": 12})
    button(screen, "Cancel").click().run()
    assert [request.path for request in gateway.requests if request.method == "POST"] == ["/v1/jobs/j1/cancel"]
