"""The command line against a gateway behind a real connection, whose answers are lost, late or refused on the way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typer.testing import CliRunner

from domain.access import Role
from gateway.cli import app, client
from gateway.cli.client import Api
from gateway.cli.follow import events
from tests import story
from tests.integration.gateway.conftest import AGENTS, Gateway
from tests.integration.gateway.serving import served

Trouble = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path / "command line"))


@contextmanager
def reached(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, request: str, *troubles: Trouble) -> Iterator[Api]:
    """The gateway as the command line finds it. The first such requests, e.g. `GET /v1/logs`, meet the troubles."""
    waiting = list(troubles)

    async def troubled(scope: Scope, receive: Receive, send: Send) -> None:
        if waiting and request == f"{scope.get('method')} {scope.get('path')}":
            await waiting.pop(0)(gateway.app, scope, receive, send)
        else:
            await gateway.app(scope, receive, send)

    with served(troubled) as address:
        token = gateway.tokens[Role.ADMIN]
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        monkeypatch.setenv("CARAVAN_TOKEN", token)
        yield Api(f"http://{address}", token)


async def unavailable(_app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the database is restarting", 503)(scope, receive, send)


async def lost_answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The request has its effect, and the client does not hear of it."""

    async def unheard(_message: Message) -> None: ...

    await app(scope, receive, unheard)
    await unavailable(app, scope, receive, send)


async def silent(_app: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await asyncio.sleep(2)


def printed(*words: str) -> Any:
    """What the command prints with --json."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_run_that_is_not_waited_for_is_listed_though_the_read_model_hears_of_it_later(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.tell(story.roster())
    with reached(gateway, monkeypatch, "") as api:
        threading.Timer(1, gateway.catch_up).start()
        (run,) = printed("run", "Why is the sky blue?", "--no-wait")
        assert (run["state"], run["task"]) == ("requested", "Why is the sky blue?")
        assert list(api.pages("/v1/workflows")) == [run]


def test_agents_are_applied_once_though_the_answer_was_lost(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway.tell(story.roster())
    file = tmp_path / "agents.yaml"
    file.write_text(AGENTS)
    with reached(gateway, monkeypatch, "PUT /v1/agents", lost_answer):
        result = CliRunner().invoke(app, ["agents", "apply", str(file), "--reason", "new agents"])
        assert (result.exit_code, result.output) == (0, "revision 3\n")
        gateway.catch_up()
        assert [one["revision"] for one in printed("agents", "revisions")] == [3, 2, 1]


def test_events_are_followed_through_a_restart_of_the_database(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.tell(story.roster())
    with reached(gateway, monkeypatch, "GET /v1/stream", unavailable, unavailable) as api:
        assert next(events(api, after=0))["position"] == 1


def test_a_stream_that_falls_silent_is_opened_anew(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.5)
    gateway.tell(story.roster())
    with reached(gateway, monkeypatch, "GET /v1/stream", silent) as api:
        assert next(events(api, after=0))["position"] == 1


def test_the_log_is_followed_as_json_lines_of_what_was_asked_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.tell(story.roster())
    with reached(gateway, monkeypatch, "") as api:
        command = [sys.executable, "-m", "gateway.cli", "logs", "--follow", "--json", "--text", "IT RAINS"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout
            gateway.tell(story.completed_run())
            line = following.stdout.readline()
            following.terminate()
            assert following.stdout.read() == ""
        (entry,) = api.pages("/v1/logs", text="it rains")
        assert json.loads(line) == entry


def test_preferences_are_listed_by_where_they_stand(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with reached(told, monkeypatch, ""):
        states = ("waiting", "settled", "rejected", "withdrawn")
        listed = {state: printed("preferences", "--state", state) for state in states}
        assert {pair["state"] for state in states for pair in listed[state]} <= set(states)
        assert len(printed("preferences", "--state", "all")) == sum(map(len, listed.values()))
        (waiting,) = printed("preferences")
        printed("withdraw", waiting["preference_id"], "--reason", "both are wrong")
        told.catch_up()
        assert printed("preferences") == []


def test_trainings_and_adapters_are_looked_at_one_by_one(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with reached(told, monkeypatch, ""):
        runs = printed("trainings", "list")
        assert {run["state"] for run in runs} == {"completed", "failed", "cancelled"}
        (done,) = printed("trainings", "list", "--state", "completed")
        assert printed("trainings", "show", done["run_id"]) == done
        log = told.core.training_log(done["run_id"])
        log.parent.mkdir(parents=True)
        log.write_text("step 1\n")
        assert CliRunner().invoke(app, ["trainings", "log", done["run_id"]]).output == "step 1\n"
        over = CliRunner().invoke(app, ["trainings", "cancel", done["run_id"]])
        assert (over.exit_code, "completed already" in over.output) == (1, True)
        adapter = printed("adapters", "list")[0]
        assert printed("adapters", "show", adapter["name"]) == adapter


def test_an_auditor_asks_for_events_their_causes_and_the_changes_of_a_prompt(
    told: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reached(told, monkeypatch, ""):
        (step,) = printed("events", "--agent", "bob", "--tool", "search", "--type", "workflow", "--kind", "human")
        assert (step["data"]["step"]["agent"], step["promptrevision"]) == ("bob", 2)
        assert printed("events", "show", step["id"]) == step
        (pair, *_) = printed("events", "--type", "preference.proposed", "--limit", "1")
        nearest, furthest = printed("events", "causes", str(pair["position"]))["items"]
        assert (nearest["event"], furthest["event"]["type"]) == (pair, "workflow.completed")
        causes = CliRunner().invoke(app, ["events", "causes", pair["id"]]).output
        assert "it began with a command of ada (human)" in causes
        effects = ["events", "effects", furthest["event"]["id"], "--limit", "2"]
        assert len(printed(*effects)["items"]) == 2
        assert "there are more" in CliRunner().invoke(app, effects).stderr
        (change,) = printed("agents", "history", "bob")
        assert (change["revision"], change["reason"]) == (2, "bob joins")
        assert "+You are a critic." in CliRunner().invoke(app, ["agents", "history", "bob"]).output
        assert CliRunner().invoke(app, ["events", "--agent", "bob"]).output.count("workflow.step_recorded") == 1
