from __future__ import annotations

import json

import pytest

from tests.unit.ui.screen import field, opened
from tests.unit.ui.scripted_gateway import ScriptedGateway

EVENT = {
    "id": "e7",
    "position": 7,
    "time": "2026-01-01T00:00:00Z",
    "type": "workflow.failed",
    "subject": "01a2047a-4f8b-7334-9cdd-06f25f492065",
    "version": 3,
    "actor": "worker",
    "actorkind": "automation",
    "data": {"reason": "no <b>answer</b>"},
}

pytestmark = pytest.mark.usefixtures("eva")


def test_the_newest_events_come_first_and_a_filter_begins_with_them_again(gateway: ScriptedGateway):
    gateway.standing["/v1/events"] = {"items": [EVENT], "next": "7", "position": 9}
    screen = opened("events", cursor="8")
    assert gateway.requests[-1].path == "/v1/events?limit=50&order=newest&cursor=8"
    field(screen, "text_input", "Actor").input("worker").run()
    assert gateway.requests[-1].path == "/v1/events?limit=50&order=newest&actor=worker"


def test_an_event_is_shown_whole_and_stays_open_after_a_reload(gateway: ScriptedGateway):
    gateway.standing["/v1/events"] = {"items": [EVENT], "next": None, "position": 9}
    screen = opened("events", event="7")
    assert json.loads(screen.json[0].value) == EVENT


def test_what_led_to_an_event_is_a_press_away(gateway: ScriptedGateway):
    gateway.standing["/v1/events"] = {"items": [EVENT], "next": None, "position": 9}
    cause = EVENT | {"id": "e3", "position": 3, "type": "workflow.requested"}
    steps = [{"depth": 0, "event": EVENT}, {"depth": 1, "event": cause}]
    gateway.standing["/v1/events/7/causes"] = {"items": steps, "began_with": None, "position": 9}
    screen = opened("events", event="7")
    screen.segmented_control[0].set_value("What led to it").run()
    assert list(screen.dataframe[-1].value["type"]) == ["workflow.failed", "workflow.requested"]


@pytest.mark.parametrize(("following", "cut", "told"), [(None, False, 0), ("9", False, 1), (None, True, 1)])
def test_effects_that_are_not_all_shown_are_told_of(
    gateway: ScriptedGateway, following: str | None, cut: bool, told: int
):
    gateway.standing["/v1/events"] = {"items": [EVENT], "next": None, "position": 9}
    effect = {"depth": 1, "event": EVENT | {"id": "e9", "position": 9}}
    gateway.standing["/v1/events/7/effects"] = {"items": [effect], "next": following, "position": 9, "cut": cut}
    screen = opened("events", event="7")
    screen.segmented_control[0].set_value("What it led to").run()
    assert len([caption for caption in screen.caption if "only 1 of them" in caption.value]) == told


def test_a_type_that_does_not_exist_is_told_and_the_filters_stay(gateway: ScriptedGateway):
    del gateway.standing["/v1/events"]
    gateway.answers_with({"title": "Invalid", "detail": "no event is called 'x'"}, status=422)
    screen = opened("events", type="x")
    assert "no event is called" in screen.error[0].value
    assert field(screen, "text_input", "Type").value == "x"
