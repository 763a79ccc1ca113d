"""The command line against a gateway behind a real connection, whose answers are lost, late or refused on the way."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typer.testing import CliRunner

from commands.batches import RequestBatch, StopBatch
from commands.roster import ReviseRoster
from commands.workflows import StopWorkflow
from domain.access import Role
from domain.batch import Batch
from domain.events import ActorKind
from domain.sides import Sides
from gateway.cli import app, client
from gateway.cli.client import Api
from gateway.cli.follow import events
from gateway.cli.progress import progress_bar
from gateway.cli.runs import start_batch, wait_for_batch
from tests import story
from tests.fakes import an_envelope
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


def heard_of_later(gateway: Gateway) -> Trouble:
    """The request is answered before the read models know what it did."""

    async def trouble(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        threading.Timer(1, gateway.catch_up).start()

    return trouble


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
    gateway.core.bus.execute(ReviseRoster(AGENTS), an_envelope())
    with reached(gateway, monkeypatch, "POST /v1/workflows/batch", heard_of_later(gateway)) as api:
        (run,) = printed("run", "Why is the sky blue?", "--no-wait")
        assert (run["state"], run["task"]) == ("requested", "Why is the sky blue?")
        assert list(api.pages("/v1/workflows")) == [run]


def test_a_batch_is_waited_for_though_the_read_model_hears_of_it_later(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = gateway.core.bus.execute
    execute(ReviseRoster(AGENTS), an_envelope())
    with reached(gateway, monkeypatch, "") as api, progress_bar() as bar:
        batch, position = start_batch(api, [{"turns": ["Why?"]}], kind="mutual_ranking", agents=[], max_tokens=None)
        asked = [recorded.event for recorded in gateway.core.store.history(UUID(batch))]
        (run,) = (event.run for event in asked if isinstance(event, Batch.RunRequested))
        execute(StopWorkflow(run, "enough"), an_envelope())
        execute(StopBatch(UUID(batch), "enough"), an_envelope())
        threading.Timer(1, gateway.catch_up).start()
        (ended,) = wait_for_batch(api, batch, 1, bar, after=position)
    assert (ended["run_id"], ended["state"]) == (str(run), "stopped")


def test_a_batch_is_listed_paused_resumed_and_stopped(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.tell()
    gateway.core.bus.execute(ReviseRoster(AGENTS, expected_revision=2), an_envelope())
    batch = str(story.id_of("batch"))
    with reached(gateway, monkeypatch, ""):
        (listed,) = printed("batches", "list", "--state", "stopped")
        assert (listed["batch_id"], listed["name"]) == (batch, "second")
        refused = CliRunner().invoke(app, ["batches", "pause", batch])
        assert (refused.exit_code, "stopped" in refused.output) == (1, True)
        written = gateway.core.bus.execute(RequestBatch("b", "mutual_ranking", (story.TASK,) * 2), an_envelope())
        for verb in ("pause", "resume", "stop"):
            assert printed("batches", verb, str(written.id))["id"] == str(written.id)
        gateway.catch_up()
        assert printed("batches", "show", str(written.id))["state"] == "stopped"


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


def test_one_setting_of_an_agent_is_changed_compared_and_restored(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str, typed: str | None = None) -> str:
        result = CliRunner().invoke(app, ["agents", *arguments], input=typed)
        assert result.exit_code == 0, result.output
        gateway.catch_up()
        return result.output

    gateway.core.bus.execute(ReviseRoster(AGENTS.replace("\n", "\r\n")), story.envelope(story.preference("waiting")))
    gateway.catch_up()
    why = ("--reason", "shorter")
    with reached(gateway, monkeypatch, "none"):
        assert said("set", "editor", "system_message", "-", *why, typed="Be brief.\n") == "revision 2\n"
        assert "\n+      Be brief.\n" in said("diff")
        assert said("set", "editor", "model.temperature", "0.5", *why) == "revision 3\n"
        assert said("set", "editor", "adapter", *why) == "revision 4\n"
        assert said("delete", "planner", *why) == "revision 5\n"
        assert said("restore", "1", *why) == "revision 6\n"
        assert said("diff", "6", "--against", "1") == ""
        monkeypatch.setenv("EDITOR", "sed -i s/physicist/chemist/")
        assert said("edit", *why) == "revision 7\n"
        monkeypatch.setenv("EDITOR", "sed -i s/name:.chemist/colour:.red/")
        refused = CliRunner().invoke(app, ["agents", "edit", *why])
        assert refused.exit_code == 1
        kept = re.search(r"caravan agents apply (\S+agents-\S+\.yaml)", refused.output.replace("\n", " "))
        assert kept
        assert "colour:.red" in Path(kept[1]).read_text()
        Path(kept[1]).unlink()
        wrong = CliRunner().invoke(app, ["agents", "set", "editor", "model.seed", "many", *why])
        assert (wrong.exit_code, "wants a number" in wrong.output) == (1, True)


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
        states = ("waiting", "disputed", "settled", "rejected", "withdrawn")
        listed = {state: printed("preferences", "--state", state) for state in states}
        assert {pair["state"] for state in states for pair in listed[state]} <= set(states)
        assert len(printed("preferences", "--state", "all")) == sum(map(len, listed.values()))
        assert len(printed("preferences", "--state", "all", "--limit", "2")) == 2
        taken_back, waiting = printed("preferences")
        printed("withdraw", waiting["preference_id"], "--reason", "both are wrong")
        told.catch_up()
        assert [pair["preference_id"] for pair in printed("preferences")] == [taken_back["preference_id"]]


def test_the_queue_is_worked_through(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contested pair comes first; it is noted, assigned, settled, taken back and left to others."""
    told.core.tokens.create("dan", Role.ANNOTATOR, ActorKind.HUMAN, by="test")
    first = str(story.id_of("disputed"))
    with reached(told, monkeypatch, f"POST /v1/preferences/{first}/annotations", heard_of_later(told)):
        assert printed("annotations", "next")["preference_id"] == first
        assert printed("annotations", "queue")["items"][0]["preference_id"] == first
        printed("annotations", "note", first, "it is close")
        printed("annotations", "assign", first, "dan")
        printed("annotations", "unassign", first, "dan")
        stands = printed("annotate", first, "flipped", "--rate", "truth=1")
        assert (stands["state"], stands["judged"], stands["wanted"]) == ("settled", 3, 2)
        assert first not in [each["preference_id"] for each in printed("annotations", "queue")["items"]]
        assert printed("annotations", "agreement")["overall"]["annotators"] == 3
        printed("annotations", "undo", first, "--reason", "the wrong key")
        printed("annotations", "skip", first)
        told.catch_up()
        assert printed("annotations", "next")["preference_id"] != first
        assert printed("annotations", "rubric")["annotators"] == 2


def test_a_pair_is_judged_blind_by_the_lot_of_the_console_and_then_told_of(
    told: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = str(story.id_of("disputed"))
    sides = Sides.drawn("admin", pair)
    left, right = sides.in_order(("Soft rain — on the roof", "ada"), ("It rains.", "bob"))
    with reached(told, monkeypatch, f"POST /v1/preferences/{pair}/annotations", heard_of_later(told)) as api:
        shown = CliRunner().invoke(app, ["annotations", "next"]).output
        assert shown.index(f"left {left[0]}") < shown.index(f"right {right[0]}")
        assert not [word for word in ("ada", "bob", "P =") if word in shown]
        said = CliRunner().invoke(app, ["annotate", pair, "left", "--rate", "truth=3"]).output
        assert [line.split()[1] for line in said.splitlines() if line.startswith(("left", "right"))] == [
            left[1],
            right[1],
        ]
        assert f"{sides.told('accepted')} (bradley-terry/1, P = 0.75)" in said
        mine = api.get(f"/v1/preferences/{pair}/opinions")["mine"]
        assert (mine["verdict"], mine["ratings"]) == (
            sides.verdict("left"),
            {"truth": sides.level(3, {"levels": "123", "compares": True})},
        )


def test_trainings_and_adapters_are_looked_at_one_by_one(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with reached(told, monkeypatch, ""):
        runs = printed("trainings", "list")
        assert {run["state"] for run in runs} == {"completed", "failed", "cancelled"}
        (done,) = printed("trainings", "list", "--state", "completed")
        assert printed("trainings", "show", done["run_id"]) == done
        log = told.core.training_log(done["run_id"])
        log.parent.mkdir(parents=True)
        log.write_text("step 1\n")
        for follow in ([], ["--follow"]):
            assert CliRunner().invoke(app, ["trainings", "log", done["run_id"], *follow]).stdout == "step 1\n"
        over = CliRunner().invoke(app, ["trainings", "cancel", done["run_id"]])
        assert (over.exit_code, "completed already" in over.output) == (1, True)
        adapter = printed("adapters", "list")[0]
        assert printed("adapters", "show", adapter["name"])["adapter"] == adapter


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


def test_an_operator_finds_the_dead_letters_and_replays_them_with_one_command(
    told: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reached(told, monkeypatch, ""):
        (dead,) = printed("jobs", "list", "--state", "dead")
        assert dead["reason"] == "all 1 attempts failed: no database"
        assert "attempt_failed" in CliRunner().invoke(app, ["jobs", "show", dead["job_id"]]).output
        assert printed("jobs", "queues")[0]["dead"] == 1
        assert {each["name"] for each in printed("jobs", "schedules")} >= {"clean-up", "audit-check"}

        (replayed,) = printed("jobs", "replay", "--all", "orphans")
        assert replayed["id"] == dead["job_id"]
        told.catch_up()
        assert printed("jobs", "list", "--state", "dead") == []
        assert printed("jobs", "show", dead["job_id"])["state"] == "waiting"

        refused = CliRunner().invoke(app, ["jobs", "run", "launder"])
        assert (refused.exit_code, "there is audit-check, clean-up" in refused.output) == (1, True)
        assert CliRunner().invoke(app, ["jobs", "replay"]).exit_code == 2


def test_the_log_of_a_training_is_followed_through_an_outage_and_each_piece_is_printed_once(
    told: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = story.id_of("completed training")
    log = told.core.training_log(done)
    log.parent.mkdir(parents=True)
    log.write_text("step 1\n")

    async def cut_off(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """After the first piece."""

        async def send_first(message: Message) -> None:
            await send(message | ({"more_body": False} if message.get("body") else {}))
            if message.get("body"):
                raise ConnectionError

        with suppress(ConnectionError):
            await app(scope, receive, send_first)

    with reached(told, monkeypatch, f"GET /v1/training-runs/{done}/log/stream", unavailable, cut_off):
        assert CliRunner().invoke(app, ["trainings", "log", str(done), "--follow"]).stdout == "step 1\n"


def test_who_follows_a_log_that_is_elsewhere_is_told_where(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with reached(told, monkeypatch, ""):
        for follow in ([], ["--follow"]):
            result = CliRunner().invoke(app, ["trainings", "log", str(story.id_of("failed training")), *follow])
            assert "is not on the gateway's machine: its trainer, trainer-1, writes it" in result.stderr
