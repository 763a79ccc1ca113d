from __future__ import annotations

from typing import Any

import pytest

from tests.unit.ui.screen import opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

pytestmark = pytest.mark.usefixtures("eva")


def standing(agent: str, place: int, value: float, known: bool = True) -> dict[str, Any]:
    strength = {"value": value, "low": value - 1 if known else None, "high": value + 1 if known else None}
    counts = {"won": 5, "lost": 3, "tied": 1, "places": {"borda/1": 3 - place, "copeland/1": place}}
    return {"agent": agent, "place": place, "strength": strength, **counts}


JUDGE: dict[str, Any] = {
    "judge": "cleo",
    "method": "likelihood/1",
    "ballots": 9,
    "unparseable": 2,
    "tie": 1,
    "discrimination": {"value": 1.2, "low": 0.5, "high": 1.9},
    "position_bias": None,
    "self_preference": None,
    "agreement": 0.75,
}


def page(*items: Any, **more: Any) -> dict[str, Any]:
    return {"items": items, "next": None, "position": 9, **more}


def test_agents_their_way_and_judges_are_seen_at_once(gateway: ScriptedGateway) -> None:
    agents = [standing("anna", 1, 0.8), standing("<b>ben</b>", 2, -0.8)]
    window = {"since": "2026-01-01", "until": "2026-01-02", "ballots": 9, "agents": agents}
    gateway.standing |= {
        "/v1/leaderboard": page(*agents, method="bradley-terry/2", ballots=9),
        "/v1/leaderboard/history": page(window),
        "/v1/judges": page(JUDGE),
    }
    screen = opened("leaderboard")
    assert not screen.exception
    standings, judges = (frame.value for frame in screen.dataframe)
    assert list(standings["agent"]) == ["anna", "<b>ben</b>"]
    assert list(standings["interval"]) == ["-0.20 to +1.80", "-1.80 to +0.20"]
    assert list(standings["borda/1"]) == [2, 1]
    assert list(judges["discrimination"]) == ["+1.20 (+0.50 to +1.90)"]
    assert len(screen.get("vega_lite_chart")) == 2


def test_a_method_that_knows_no_errors_shows_none(gateway: ScriptedGateway) -> None:
    gateway.standing |= {
        "/v1/leaderboard": page(standing("anna", 1, 0.8, known=False), method="borda/1", ballots=9),
        "/v1/leaderboard/history": page(),
        "/v1/judges": page(JUDGE),
    }
    screen = opened("leaderboard", method="borda/1")
    assert not screen.exception
    assert list(screen.dataframe[0].value["interval"]) == [None]
    assert screen.selectbox[0].value == "borda/1"
    asked = [request.path for request in gateway.requests if request.path.startswith("/v1/leaderboard")]
    assert all("method=borda%2F1" in path for path in asked)


def test_before_the_first_ballot_it_says_where_ballots_come_from(gateway: ScriptedGateway) -> None:
    gateway.standing |= {f"/v1/{name}": page() for name in ("leaderboard", "leaderboard/history", "judges")}
    screen = opened("leaderboard")
    assert not screen.exception
    assert any("start one under Runs" in text for text in texts(screen.info))
