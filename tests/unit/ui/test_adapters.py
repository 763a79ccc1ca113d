from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.ui.screen import button, field, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

WHEN = "2026-11-28T09:00:00+00:00"
PASSPORT: dict[str, Any] = {
    "config": {"max_steps": 4, "seed": 1},
    "steps": 4,
    "pairs": 12,
    "training_run": "t",
    "dataset_id": "d",
    "made_with": {"caravan": "0.1.0", "torch": "2.12"},
    **dict.fromkeys(("sha256", "dataset_sha256", "base_sha256", "base_model", "position"), "x"),
}
ADAPTER: dict[str, Any] = {
    "name": "team@2",
    "alias": "team",
    "version": 3,
    "state": "promoted",
    "in_use": True,
    "reason": "",
    "registered_at": WHEN,
    "passport": PASSPORT,
}
HALF = {"value": 0.5, "low": 0.3, "high": 0.7, "n": 20}
WON = {"value": 0.65, "low": 0.51, "high": 0.8, "n": 10}
EVALUATION: dict[str, Any] = {
    "evaluation_id": "e1",
    "job_id": "j1",
    "against": "base",
    "state": "completed",
    "requested_at": WHEN,
    "reason": None,
    "figures": {
        "accuracies": [{"model": "base", "by_mean": HALF}, {"model": "team@2", "by_mean": WON}],
        "gain": None,
        "win_rate": WON,
        "pairs": 20,
        "refused": 0,
        "prompts": 10,
        "won": 5,
        "tied": 3,
        "lost": 2,
    },
}
EVENT = {"type": "lora_adapter.promoted", "time": WHEN, "actor": "ada", "data": {"reason": "better"}}

pytestmark = pytest.mark.usefixtures("eva")


@pytest.fixture
def shown(gateway: ScriptedGateway) -> ScriptedGateway:
    again = {"state": "completed", "adapter": "team@3", "same": True, "differs": []}
    run = {"run_id": "r1", "task": "Why is the sky blue?", "requested_at": WHEN}
    gateway.standing |= {
        "/v1/adapters/team@2": ADAPTER,
        "/v1/adapters/team@2/passport": {"history": [EVENT], "runs": 1, "newest_runs": [run], "reproductions": [again]},
        "/v1/evaluations": {"items": [EVALUATION], "next": None, "position": 9},
    }
    return gateway


def sent(gateway: ScriptedGateway) -> tuple[str, Any]:
    posts = [request for request in gateway.requests if request.method == "POST"]
    return posts[-1].path, json.loads(posts[-1].body)


def test_an_adapter_shows_what_it_is_worth_and_what_became_of_it(shown: ScriptedGateway) -> None:
    screen = opened("adapters", adapter="team@2")
    assert not screen.exception
    assert {one.label: one.value for one in screen.metric if one.label in ("Accuracy of base", "Gain", "Win rate")} == {
        "Accuracy of base": "0.50 [0.30, 0.70]",
        "Gain": "not measured",
        "Win rate": "0.65 [0.51, 0.80]",
    }
    said = " ".join(texts(screen.caption))
    assert "Used in 1 run." in said
    assert "with the same weights" in said


def test_an_evaluation_is_asked_for_against_what_is_in_use(shown: ScriptedGateway) -> None:
    screen = opened("adapters", adapter="team@2")
    field(screen, "selectbox", "Against").set_value("production").run()
    shown.answers_with({"id": "e2", "version": 1, "position": 12})
    button(screen, "Evaluate").click().run()
    assert sent(shown) == ("/v1/evaluations", {"adapter": "team@2", "against": "production"})


def test_what_is_in_use_is_rolled_back_with_a_reason(shown: ScriptedGateway) -> None:
    screen = opened("adapters", adapter="team@2")
    button(screen, "Roll back").click().run()
    assert texts(screen.warning) == ["Say why: the reason stays in its history."]
    field(screen, "text_input", "Reason").input("worse with people").run()
    shown.answers_with({"id": "a", "version": 4, "position": 12})
    button(screen, "Roll back").click().run()
    assert sent(shown) == ("/v1/adapters/team/rollback", {"reason": "worse with people", "adapter": "team@2"})
