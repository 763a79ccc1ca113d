"""Evaluations, promotions, rollbacks and passports over HTTP and from the command line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.presence import Presence
from commands.policies.held_job import Attempt
from domain.access import Role
from domain.evaluation import Evaluation
from gateway.cli import app
from gateway.job_handlers import job_handlers
from tests import story
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served
from tests.integration.gateway.trained import adapters
from tests.scripted_agents import ScriptedAgents


async def work(gateway: Gateway) -> None:
    """What a worker would do with the evaluations that wait."""
    core = gateway.core
    handler = job_handlers(core, Presence(core.engine), datetime.now(UTC), ScriptedAgents())["evaluate"]
    done = {recorded.event.originator_id for recorded in core.store.read(topics=("evaluation.completed",))}
    for recorded in list(core.store.read(topics=("evaluation.requested",))):
        assert isinstance(recorded.event, Evaluation.Requested)
        if recorded.event.originator_id in done:
            continue
        await handler({"evaluation": str(recorded.event.originator_id)}, Attempt(recorded.event.job, 1))
    gateway.catch_up()


async def test_an_evaluation_is_asked_for_done_and_read(gateway: Gateway) -> None:
    adapters(gateway, 1)
    async with gateway.client(Role.OPERATOR) as client:
        asked = await client.post("/v1/evaluations", json={"adapter": "team@1", "plan": {"prompts": 3}})
        assert asked.status_code == 202, asked.text
        gateway.catch_up()
        place = asked.headers["location"]
        waiting = (await client.get(place)).json()
        assert (waiting["state"], waiting["figures"], waiting["part"]) == ("requested", None, "test")
        assert (await client.get(f"{place}/items")).status_code == 409
        job = (await client.get(f"/v1/jobs/{waiting['job_id']}")).json()
        assert (job["kind"], job["queue"], job["state"]) == ("evaluate", "evaluations", "waiting")
        await work(gateway)
        done = (await client.get(place)).json()
        figures = done["figures"]
        assert (done["state"], figures["prompts"]) == ("completed", 3)
        assert [one["model"] for one in figures["accuracies"]] == ["base", "team@1"]
        assert 0 <= figures["win_rate"]["low"] <= figures["win_rate"]["high"] <= 1
        items = (await client.get(f"{place}/items")).json()
        assert len(items["pairs"]) == figures["pairs"]
        listed = (await client.get("/v1/evaluations", params={"adapter": "team@1", "state": "completed"})).json()
        assert [one["evaluation_id"] for one in listed["items"]] == [done["evaluation_id"]]
        assert (await client.post(f"{place}/cancel", json={})).status_code == 409


async def test_a_stranger_to_evaluations_is_told_what_is_wrong(gateway: Gateway) -> None:
    adapters(gateway, 1)
    async with gateway.client(Role.OPERATOR) as client:
        for body, status, said in (
            ({"adapter": "team@9"}, 404, "team@9"),
            ({"adapter": "team@production"}, 404, "team@production"),
            ({"adapter": "team@1", "against": "team@1"}, 422, "against itself"),
            ({"adapter": "team@1", "judges": ["nobody"]}, 422, "nobody"),
            ({"adapter": "team@1", "plan": {"pairs": 0, "prompts": 0}}, 422, "pairs"),
        ):
            refused = await client.post("/v1/evaluations", json=body)
            assert (refused.status_code, said in refused.text) == (status, True), refused.text
    async with gateway.client(Role.ANNOTATOR) as client:
        assert (await client.post("/v1/evaluations", json={"adapter": "team@1"})).status_code == 403


async def test_a_rollback_is_one_event_and_production_is_a_name(gateway: Gateway) -> None:
    adapters(gateway, 1, 2)
    async with gateway.client(Role.OPERATOR) as client:

        async def in_use() -> str | None:
            gateway.catch_up()
            found = await client.get("/v1/adapters/team@production")
            return str(found.json()["name"]) if found.status_code == 200 else None

        assert await in_use() is None
        for name in ("team@1", "team@2"):
            await client.post(f"/v1/adapters/{name}/promote", json={"reason": "better"})
        assert await in_use() == "team@2"
        path, before = "/v1/adapters/team/rollback", gateway.core.store.head()
        assert (await client.post(path, json={})).status_code == 422
        other = await client.post(path, json={"reason": "worse", "adapter": "team@1"})
        assert (other.status_code, "but team@2" in other.text) == (409, True)
        assert (await client.post(path, json={"reason": "worse", "adapter": "team@2"})).status_code == 200
        assert gateway.core.store.head() == before + 1
        assert await in_use() == "team@1"
        await client.post(path, json={"reason": "worse too"})
        assert await in_use() is None
        assert (await client.post(path, json={"reason": "again"})).status_code == 409
        rolled = (await client.get("/v1/adapters/team@2")).json()
        assert (rolled["state"], rolled["reason"], rolled["in_use"]) == ("rolled_back", "worse", False)


async def test_a_passport_tells_all_as_json_and_as_a_readme(told: Gateway) -> None:
    async with told.client(Role.VIEWER) as viewer:
        passport = (await viewer.get("/v1/adapters/team@3/passport")).json()
        markdown = await viewer.get("/v1/adapters/team@3/passport", headers={"Accept": "text/markdown"})
        first = (await viewer.get("/v1/adapters/team@1/passport")).json()
        runs = (await viewer.get("/v1/workflows", params={"adapter": "team@1"})).json()["items"]
    assert passport["dataset"]["dataset_id"] == str(story.id_of("dataset"))
    assert passport["training"]["run_id"] == str(story.id_of("completed training"))
    assert [event["type"] for event in passport["history"]] == [
        *("lora_adapter.reserved", "lora_adapter.registered", "lora_adapter.promoted", "lora_adapter.rolled_back"),
    ]
    assert {one["state"] for one in passport["evaluations"]} == {"completed", "failed", "cancelled"}
    assert (passport["runs"], first["runs"]) == (0, len(runs))
    assert [run["run_id"] for run in first["newest_runs"]] == [run["run_id"] for run in runs]
    assert str(story.RUN) in {run["run_id"] for run in runs}
    assert markdown.headers["content-type"].startswith("text/markdown")
    for said in ("# team@3", "rolled back by ada: it says too much", "0.650 [0.500, 0.800] of 10", story.SHA):
        assert said in markdown.text
    assert "| 1 whose prompts were trained on |" in markdown.text


@contextmanager
def at_work(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line reaches the gateway, and a worker and the projectors are there: slower than the commands, so
    that one which reads what is not in the read models yet fails."""
    stop = threading.Event()

    def worker() -> None:
        while not stop.wait(2):
            gateway.catch_up()
            asyncio.run(work(gateway))

    with served(gateway.app) as address:
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        monkeypatch.setenv("CARAVAN_TOKEN", gateway.tokens[Role.OPERATOR])
        thread = threading.Thread(target=worker)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def said(*command: str) -> str:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_line_prints_figures_with_intervals_and_rolls_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path / "command line"))
    adapters(gateway, 1)
    with at_work(gateway, monkeypatch):
        shown = said("evaluations", "start", "team@1", "--prompts", "2")
        (one,) = json.loads(said("evaluations", "list", "--json"))
        for accuracy in one["figures"]["accuracies"]:
            value = accuracy["by_mean"]
            assert accuracy["model"] in shown
            assert f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}] of {value['n']}" in shown
        said("adapters", "promote", "team@1", "--reason", "good", "--evaluation", one["evaluation_id"])
        assert CliRunner().invoke(app, ["adapters", "promote", "team@1"]).exit_code == 2
        other = CliRunner().invoke(app, ["adapters", "rollback", "team@2", "--reason", "bad"])
        assert (other.exit_code, "but team@1" in other.stderr) == (1, True)
        assert "team means the base model" in said("adapters", "rollback", "team@1", "--reason", "bad")
        gateway.catch_up()
        card = said("adapters", "show", "team@1")
    assert "promoted by operator: good" in card
    assert "rolled back by operator: bad" in card
