"""How model servers stand, as a worker tells it and everybody else reads it; and what they should serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from adapters import kv
from adapters.replicas.lora_api import LoraApi
from adapters.replicas.vllm import VllmReplica
from commands.policies.serve_adapters import ServeAdapters
from domain.access import Role
from domain.lora_weights import Weights
from domain.serving import ReplicaStanding, Servable, ServingState
from gateway.cli import app
from projections.lookups import ServableAdapters
from tests import story
from tests.fake_vllm import FakeVllm
from tests.integration.gateway.conftest import Gateway, opened
from tests.integration.gateway.serving import served


@pytest.fixture
def gateway(nats: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 60.0)
    with opened(database, tmp_path, nats, model_key=database) as gateway:
        gateway.tell()
        yield gateway


def registered(gateway: Gateway) -> dict[str, Servable]:
    return dict(ServableAdapters(gateway.core.engine, gateway.core.store)())


def test_what_is_registered_and_not_retired_should_be_served_as_soon_as_it_is(gateway: Gateway) -> None:
    retired, promoted = story.retired_adapter(), story.promoted_adapter()
    assert promoted.passport
    wanted = registered(gateway)

    assert retired.name not in wanted
    assert wanted[promoted.name] == Servable(
        Weights(promoted.passport.sha256, promoted.passport.config.form), promoted.passport.base_model
    )


async def test_a_worker_brings_vllms_in_step_also_after_a_restart_and_everybody_can_see_it(gateway: Gateway) -> None:
    wanted = registered(gateway)
    base = next(iter(wanted.values())).base
    servers = [FakeVllm(base, files=[f"/mnt/{name}" for name in wanted]) for _ in range(2)]
    servers[0].loaded = {"stranger": "/mnt/stranger"}
    apis = [LoraApi(f"http://vllm{n}/v1", None, httpx.ASGITransport(one.app())) for n, one in enumerate(servers)]
    replicas = [VllmReplica(api, base, "/mnt", lambda name, weights: None) for api in apis]
    serving = ServeAdapters(
        lambda: registered(gateway), replicas, gateway.core.standings.tell, lambda: datetime.now(UTC), poll_seconds=0.02
    )
    stop = asyncio.Event()
    task = asyncio.create_task(serving.run(stop))

    async def all_in_step() -> None:
        async with asyncio.timeout(60):
            while any(one.loaded.keys() != wanted.keys() for one in servers):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    await all_in_step()
    servers[1].restart()
    await all_in_step()

    async with gateway.client(Role.VIEWER) as viewer, asyncio.timeout(60):
        told = (await viewer.get("/v1/serving")).json()
        while not told["replicas"] or any(one["state"] != ServingState.IN_STEP for one in told["replicas"]):
            await asyncio.sleep(0.05)
            told = (await viewer.get("/v1/serving")).json()
        metrics = (await viewer.get("/metrics")).text
    stop.set()
    await task
    for api in apis:
        await api.close()

    assert told["looked_after"]
    assert {one["replica"] for one in told["replicas"]} <= {"http://vllm0/v1", "http://vllm1/v1"}
    assert told["replicas"][0]["served"] == told["replicas"][0]["wanted"] == sorted(wanted)
    assert 'caravan_replica_in_step{replica="http://vllm0/v1"} 1.0' in metrics
    assert f'caravan_replica_adapters{{replica="http://vllm0/v1",which="served"}} {len(wanted)}.0' in metrics


async def test_where_nobody_looks_after_them_that_is_what_is_said(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path) as gateway:
        async with gateway.client(Role.VIEWER) as viewer:
            assert (await viewer.get("/v1/serving")).json() == {"looked_after": False, "replicas": []}
        async with gateway.client(None) as stranger:
            assert (await stranger.get("/v1/serving")).status_code == 401


async def test_the_command_line_tells_who_is_not_in_step_and_why_and_fails_then(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(tmp_path / "command line"))
    monkeypatch.setenv("CARAVAN_TOKEN", gateway.tokens[Role.VIEWER])
    with served(gateway.app) as address:
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        said = await asyncio.to_thread(CliRunner().invoke, app, ["serving"])
        assert (said.exit_code, "nobody looks after" in said.output) == (1, True)

        now = datetime.now(UTC)
        well = ReplicaStanding("http://one/v1", "embedded", "tiny", ServingState.IN_STEP, now, now, ["a@1"], ["a@1"])
        await gateway.core.standings.tell([well])
        said = await asyncio.to_thread(CliRunner().invoke, app, ["serving"])
        assert (said.exit_code, "in_step" in said.output) == (0, True)

        behind = replace(well, state=ServingState.BEHIND, served=[], refused={"a@1": "it is a pickle"})
        await gateway.core.standings.tell([well, behind])
        said = await asyncio.to_thread(CliRunner().invoke, app, ["serving"])
        assert (said.exit_code, "it is a pickle" in said.output) == (1, True)
        told = await asyncio.to_thread(CliRunner().invoke, app, ["serving", "--json"])
        assert json.loads(told.stdout)["replicas"][1]["refused"] == {"a@1": "it is a pickle"}
