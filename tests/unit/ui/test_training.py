from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.ui.screen import button, field, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

RUN: dict[str, Any] = {
    "run_id": "t1",
    "state": "completed",
    "alias": "team",
    "adapter_name": "team@2",
    "base_model": "tiny",
    "dataset_id": "d1",
    "actor": "eva",
    "reason": None,
    "step": 9,
    "total_steps": 24,
    "seconds_left": 0.0,
    "loss_before": 0.69,
    "loss_after": 0.41,
    "pairs": 12,
    "seconds": 60.0,
    "stopped_by": "truncated",
    "config": {"max_steps": 24},
}
MEASURED = {"loss": 0.5, "margin": 0.2, "accuracy": 1.0, "kl": 0.01, "grad_norm": 2.0, "truncated": 0.25}
STEP = {"step": 1, **MEASURED, "chosen_shift": -1.0, "length_lead": 3.0, "entropy": None}
WARNING = {"code": "truncated", "says": "25% of the pairs are cut", "advice": "Raise max_length."}

pytestmark = pytest.mark.usefixtures("eva")


def page(*items: Any) -> dict[str, Any]:
    return {"items": items, "next": None, "position": 9}


def test_a_training_shows_what_its_numbers_warn_of_and_what_stopped_it(gateway: ScriptedGateway) -> None:
    here = "/v1/training-runs/t1"
    gateway.standing |= {here: RUN, f"{here}/metrics": page(STEP), f"{here}/health": page(WARNING)}
    screen = opened("training", training="t1")
    assert texts(screen.info) == ["Stopped early, at step 9, by truncated."]
    assert texts(screen.warning) == ["25% of the pairs are cut. Raise max\\_length\\."]
    said = " ".join(texts(screen.markdown))
    assert "**Gradient norm** 2" in said
    assert "**Entropy** not measured" in said


def test_a_log_that_is_on_another_machine_is_told_to_be_there(gateway: ScriptedGateway) -> None:
    here = "/v1/training-runs/t1"
    gateway.standing |= {here: RUN, f"{here}/metrics": page(STEP), f"{here}/health": page()}
    gateway.answers_with({"title": "Not Found", "detail": "its trainer writes it", "status": 404}, status=404)
    screen = opened("training", training="t1")
    field(screen, "toggle", "Show the trainer’s log").set_value(True).run()
    assert texts(screen.info)[-1] == "its trainer writes it"


def test_a_training_goes_on_from_an_adapter_that_is_not_retired(gateway: ScriptedGateway) -> None:
    usual = {"max_steps": 24, "max_pairs": 64, "max_length": 256, "learning_rate": 5e-4, "beta": 0.1, "seed": 0}
    properties = {name: {"default": value} for name, value in usual.items()}
    schemas = {"TrainingConfig": {"properties": properties}}
    built = {"dataset_id": "d1", "state": "built", "pairs": 3, "annotated": 1, "as_of": 7}
    gateway.standing |= {
        "/openapi.json": {"components": {"schemas": schemas}},
        "/v1/datasets": page(built),
        "/v1/adapters": page({"name": "team@2", "state": "registered"}, {"name": "team@1", "state": "retired"}),
    }
    screen = opened("training")
    choice = field(screen, "selectbox", "Go on from")
    assert choice.options == ["team@2"]
    choice.set_value("team@2").run()
    field(screen, "toggle", "Stay close to that adapter").set_value(True).run()
    gateway.answers_with({"id": "t1", "version": 1, "position": 12})
    gateway.standing |= {"/v1/training-runs/t1": RUN | {"step": 0}, "/v1/training-runs/t1/metrics": page()}
    button(screen, "Start").click().run()
    sent = json.loads(next(request.body for request in gateway.requests if request.method == "POST"))
    assert (sent["start_from"], sent["reference"], sent["config"]) == ("team@2", "start", usual)
