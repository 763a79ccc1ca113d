"""The doors to rankings: how agents and judges stand, over time, and what another method would say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from domain.access import Role
from domain.ranking import Ballot, Outcome
from domain.steps import Step, Task, step_id
from domain.workflow import Workflow
from gateway.cli import app
from projections import reranking
from tests.builders import CAST, NOW, a_call, an_id
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.test_cli import own_home, printed, reached  # noqa: F401 - a fixture

TEAM = ("anna", "ben", "cleo", "dan")


def judged(name: str, strongest_first: Sequence[str] = TEAM, complete: bool = True) -> Workflow:
    """A completed run in which each judge is of that opinion, in both orders."""
    run = Workflow.request(an_id(name), "mutual_ranking", Task(("Why?",)), 1, TEAM, "", None, at=NOW)
    run.start("worker-1", CAST, at=NOW)
    answers = {agent: step_id(run.id, agent, "answer", 0) for agent in TEAM}
    for agent, step in answers.items():
        run.record_step(1, Step(step, agent, "answer", 0, a_call(f"{agent} says so.")), at=NOW)
    for judge in TEAM:
        others = [agent for agent in strongest_first if agent != judge]
        for better, worse in combinations(others, 2):
            for first, second in ((better, worse), (worse, better)):
                outcome = Outcome.FIRST if first == better else Outcome.SECOND
                id = an_id(f"{name} {judge} {first} {second}")
                ballot = Ballot(id, judge, "verdict/1", answers[first], answers[second], outcome, ())
                run.cast_ballot(1, ballot, at=NOW)
    if complete:
        run.complete(1, at=NOW)
    return run


async def read(gateway: Gateway, path: str, status: int = 200, **query: Any) -> Any:
    async with gateway.client(Role.VIEWER) as viewer:
        answer = await viewer.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_who_wins_stands_first_by_every_method(gateway: Gateway) -> None:
    gateway.tell(judged("one"), judged("two"))
    for method in ("bradley-terry/2", "borda/1", "copeland/1"):
        found = await read(gateway, "/v1/leaderboard", method=method)
        assert [each["agent"] for each in found["items"]] == list(TEAM)
        assert [each["place"] for each in found["items"]] == [1, 2, 3, 4]
        assert (found["ballots"], found["method"]) == (48, method)
    best = (await read(gateway, "/v1/leaderboard"))["items"][0]
    assert best["strength"]["low"] > 0 < best["won"] == 24
    assert best["places"] == {"borda/1": 1, "copeland/1": 1}


async def test_what_is_judged_later_counts_with_the_next_look(gateway: Gateway) -> None:
    gateway.tell(judged("one"))
    assert (await read(gateway, "/v1/leaderboard"))["ballots"] == 24
    gateway.tell(judged("two", TEAM[::-1]))
    found = await read(gateway, "/v1/leaderboard")
    assert found["ballots"] == 48
    assert all(abs(each["strength"]["value"]) < 0.01 for each in found["items"])
    (today,) = (await read(gateway, "/v1/leaderboard/history"))["items"]
    assert (today["ballots"], len(today["agents"])) == (48, 4)


async def test_before_the_first_ballot_nobody_stands_anywhere(gateway: Gateway) -> None:
    for path in ("/v1/leaderboard", "/v1/leaderboard/history", "/v1/judges"):
        assert (await read(gateway, path))["items"] == []


async def test_a_judge_is_told_by_what_it_tells_apart(gateway: Gateway) -> None:
    gateway.tell(judged("one"), judged("two"))
    judges = (await read(gateway, "/v1/judges"))["items"]
    assert [(each["judge"], each["method"], each["ballots"]) for each in judges] == [
        (agent, "verdict/1", 12) for agent in TEAM
    ]
    for each in judges:
        assert each["discrimination"]["low"] > 0
        assert abs(each["position_bias"]["value"]) < 0.1
        assert each["self_preference"] is None
        assert each["agreement"] == 1


async def test_a_method_that_there_is_not_is_refused_with_those_that_there_are(gateway: Gateway) -> None:
    for path in ("/v1/leaderboard", "/v1/leaderboard/history", "/v1/rankings/compare"):
        refused = await read(gateway, path, 422, method="elo/1")
        assert "there is bradley-terry/2, bradley-terry/1, borda/1, copeland/1" in refused["detail"]


async def test_a_method_that_writes_every_ballot_out_ranks_no_agents(gateway: Gateway) -> None:
    for path in ("/v1/leaderboard", "/v1/leaderboard/history"):
        refused = await read(gateway, path, 422, method="bradley-terry/1")
        assert "of agents there is bradley-terry/2, borda/1, copeland/1" in refused["detail"]


async def test_old_ballots_by_another_method_and_nothing_is_proposed(gateway: Gateway) -> None:
    gateway.tell(judged("one"), judged("two"), judged("unfinished", complete=False))
    head = gateway.core.store.head()
    first = await read(gateway, "/v1/rankings/compare", method="bradley-terry/1", limit=1)
    second = await read(gateway, "/v1/rankings/compare", method="bradley-terry/1", limit=1, cursor=first["next"])
    assert second["next"] is None
    (newest,), (oldest,) = first["items"], second["items"]
    assert [newest["run_id"], oldest["run_id"]] == [str(an_id("two")), str(an_id("one"))]
    assert (oldest["ballots"], oldest["same"], oldest["pairs"]) == (24, 6, [])
    (one,) = (await read(gateway, "/v1/rankings/compare", method="copeland/1", run=str(an_id("one"))))["items"]
    assert one["same"] == 6
    await read(gateway, "/v1/rankings/compare", 404, method="borda/1", run=str(UUID(int=9)))
    assert gateway.core.store.head() == head


async def test_a_page_holds_no_more_ballots_than_a_request_should_rank(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these runs has 24."""
    gateway.tell(*map(judged, ("one", "two", "three")))
    monkeypatch.setattr(reranking, "MOST_BALLOTS", 50)
    first = await read(gateway, "/v1/rankings/compare", method="borda/1")
    rest = await read(gateway, "/v1/rankings/compare", method="borda/1", cursor=first["next"])
    assert [each["run_id"] for page in (first, rest) for each in page["items"]] == [
        str(an_id(name)) for name in ("three", "two", "one")
    ]
    assert (len(first["items"]), rest["next"]) == (2, None)
    monkeypatch.setattr(reranking, "MOST_BALLOTS", 23)
    alone = await read(gateway, "/v1/rankings/compare", method="borda/1")
    assert len(alone["items"]) == 1
    assert alone["items"][0] == {
        "run_id": str(an_id("three")),
        "ballots": 24,
        "compared": False,
        "same": 0,
        "pairs": [],
    }
    assert alone["next"]


async def test_a_pair_that_another_method_would_not_make_is_named(told: Gateway) -> None:
    """The story's run has one readable ballot: enough for the former method alone."""
    compared = await read(told, "/v1/rankings/compare", method="bradley-terry/2", against="bradley-terry/1")
    (run,) = compared["items"]
    (pair,) = run["pairs"]
    assert (pair["change"], pair["ours"], run["same"]) == ("gone", None, 0)
    assert pair["theirs"]["probability"] == pytest.approx(0.837, abs=0.001)


async def test_the_counts_are_made_anew_from_the_command_line(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.tell(judged("one"))
    settings = gateway.core.settings
    for name, value in (("DATABASE_URL", settings.database_url), ("NATS_URL", settings.nats_url)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("CARAVAN_HOME", str(settings.home))
    head = gateway.core.store.head()
    said = CliRunner().invoke(app, ["projections", "rebuild", "ballots", "vote_counts"]).output
    assert f"ballots: rebuilt up to {head}, 0 rows differ" in said
    assert f"vote_counts: counted anew up to {head}" in said
    assert (await read(gateway, "/v1/leaderboard"))["ballots"] == 24
    assert "no read model scores" in CliRunner().invoke(app, ["projections", "rebuild", "scores"]).output


def test_the_command_line_shows_the_same(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.tell(judged("one"))
    with reached(gateway, monkeypatch, ""):
        assert [each["agent"] for each in printed("leaderboard")["items"]] == list(TEAM)
        assert [each["ballots"] for each in printed("leaderboard", "--every", "week", "--cumulative")] == [24]
        assert [each["judge"] for each in printed("judges")] == list(TEAM)
        compared = printed("rankings", "compare", "--method", "bradley-terry/1")
        assert compared == {"totals": {"runs": 1, "same": 6, "new": 0, "gone": 0, "flipped": 0}, "changes": []}

        shown = CliRunner().invoke(app, ["leaderboard"]).output
        assert all(agent in shown for agent in TEAM)
        assert "copeland/1" in shown
        assert "verdict/1" in CliRunner().invoke(app, ["judges"]).output
        assert "anna" in CliRunner().invoke(app, ["leaderboard", "--every", "day"]).output
        assert "same" in CliRunner().invoke(app, ["rankings", "compare", "--method", "borda/1"]).output
        refused = CliRunner().invoke(app, ["leaderboard", "--every", "day", "--since", "2026-01-01"])
        assert refused.exit_code == 2
