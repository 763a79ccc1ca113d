"""A workforce's page shows who did what, and says a model's words as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.ui.screen import opened
from tests.unit.ui.scripted_gateway import ScriptedGateway

pytestmark = pytest.mark.usefixtures("eva")

RUN: dict[str, Any] = {
    "run_id": "r1",
    "kind": "workforce",
    "task": "A haiku",
    "state": "completed",
    "actor": "ada",
    "cast": [],
    "worker": None,
    "forked_from": None,
    "roster_revision": 1,
    "reason": None,
    "ballots": 0,
    "unparseable": 0,
    "started_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:00:09Z",
    "steps": 3,
    "input_tokens": 1,
    "output_tokens": 1,
}


def told(n: int, **report: Any) -> dict[str, Any]:
    said = {"task": "0", "worker": "", "text": "", "tasks": [], **report}
    return {"time": "2026-01-01T00:00:05Z", "position": n, "data": {"n": n, "report": said}}


def test_it_shows_what_is_told_in_its_order(gateway: ScriptedGateway) -> None:
    split = told(0, what="task_decomposed", tasks=["0.1", "0.2"])
    done = told(1, what="task_completed", task="0.1", worker="ben", text="<b>rain</b>")
    gateway.standing |= {
        "/v1/workflows/r1": RUN,
        "/v1/workflows/r1/steps": {"items": [], "next": None, "position": 9},
        "/v1/events": {"items": [split, done], "next": None, "position": 9},
    }
    screen = opened("runs", run="r1")
    assert not screen.exception
    work = screen.dataframe[-1].value
    assert list(work["what"]) == ["task decomposed", "task completed"]
    assert list(work["text"]) == ["0.1, 0.2", "<b>rain</b>"]
    assert list(work["worker"]) == ["", "ben"]
