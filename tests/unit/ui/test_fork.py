"""A fork's page says what was changed, and what each run said after that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.ui.screen import opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway
from tests.unit.ui.test_work import RUN

pytestmark = pytest.mark.usefixtures("eva")


def said(agent: str, output: str) -> dict[str, Any]:
    return {
        "agent": agent,
        "phase": "answer",
        "n": 0,
        "output": output,
        "score": None,
        "error": None,
        "tool_calls": [],
    }


def comparison(gateway: ScriptedGateway, *specs: dict[str, Any]) -> list[str]:
    """All that the page says as plain text and captions."""
    fork = RUN | {"kind": "mutual_ranking", "forked_from": "r0"}
    difference = {"mine": said("ada", "<b>Rain</b>"), "theirs": said("ada", "Snow")}
    gateway.standing |= {
        "/v1/workflows/r1": fork,
        "/v1/workflows/r1/steps": {"items": [], "next": None, "position": 9},
        "/v1/workflows/r1/diff": {"shared": 2, "items": [difference]},
        "/v1/events": {"items": [{"data": {"fork": {"specs": list(specs)}}}], "next": None, "position": 9},
    }
    screen = opened("runs", run="r1", part="Comparison")
    assert not screen.exception
    return [*texts(screen.text), *texts(screen.caption), *[one.label for one in screen.expander]]


def test_it_names_who_was_changed_and_shows_the_prompt_as_it_is(gateway: ScriptedGateway) -> None:
    shown = comparison(
        gateway, {"name": "ada", "model": {"name": "m"}, "adapter": "team@2", "system_message": "Be <i>brief</i>."}
    )
    assert "Changed: ada (m, team@2)" in shown
    assert {"Be <i>brief</i>.", "<b>Rain</b>", "Snow"} <= set(shown)


def test_a_fork_of_the_same_agents_says_so(gateway: ScriptedGateway) -> None:
    assert "Nothing was changed: the same agents were asked again." in comparison(gateway)
