"""Batches over HTTP, on a real PostgreSQL: asked for, held, retried and ended, with a policy that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from adapters.policy_checkpoints import PolicyCheckpoints
from commands.policies.advance_batches import AdvanceBatches
from commands.policies.runner import PolicyRunner
from commands.workflows import CompleteWorkflow, FailWorkflow, StartWorkflow
from domain.access import Role
from domain.batch import MOST_TASKS
from domain.events import Actor, ActorKind
from projections import batch_runs, batches, workflow_runs
from projections.engine import catch_up
from projections.lookups import BatchRuns
from tests import story
from tests.eventually import eventually
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import Gateway, put_agents


class Killed(Exception):
    """Between what it did and its checkpoint."""


class CheckpointsOfAVictim(PolicyCheckpoints):
    """The process ends before its checkpoint moves past an event, as with kill -9."""

    def move(self, policy: str, position: int) -> None:
        raise Killed

    park = None  # type: ignore[assignment]


@asynccontextmanager
async def policy(gateway: Gateway, checkpoints: type[PolicyCheckpoints] = PolicyCheckpoints) -> AsyncIterator[None]:
    core = gateway.core
    actor = Actor("policy:advance-batches", ActorKind.AUTOMATION)
    advance = AdvanceBatches(BatchRuns(core.engine, core.store), core.bus.execute, actor).policy
    runner = PolicyRunner(advance, core.store, checkpoints(core.engine), poll_seconds=0.02)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    yield
    stop.set()
    await running


async def heard_all(gateway: Gateway) -> None:
    head = gateway.core.store.head()
    await eventually(lambda: gateway.core.policies.position("advance_batches") >= head)


async def asked(client: httpx.AsyncClient, tasks: int, **more: Any) -> str:
    """Where the batch is."""
    body = {"tasks": [{"turns": [f"What is {n} times {n}?"], "ref": str(n)} for n in range(tasks)], **more}
    answer = await client.post("/v1/workflows/batch", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


class Following:
    """What a viewer sees of a batch."""

    def __init__(self, gateway: Gateway, client: httpx.AsyncClient, at: str) -> None:
        self._gateway, self._client, self._at = gateway, client, at

    async def until(self, **wanted: object) -> None:
        async with asyncio.timeout(60):
            while not wanted.items() <= (await self.batch()).items():  # noqa: ASYNC110 - it comes true in another task
                await asyncio.sleep(0.01)

    async def batch(self) -> dict[str, Any]:
        self._catch_up()
        found: dict[str, Any] = (await self._client.get(self._at)).json()
        return found

    async def runs(self) -> list[dict[str, Any]]:
        """In the order of their tasks."""
        self._catch_up()
        query = {"batch": self._at.rpartition("/")[2], "limit": 200}
        found: list[dict[str, Any]] = (await self._client.get("/v1/workflows", params=query)).json()["items"]
        return found[::-1]

    async def unfinished(self) -> list[UUID]:
        return [UUID(run["run_id"]) for run in await self.runs() if run["state"] in ("requested", "running", "paused")]

    def _catch_up(self) -> None:
        for projector in (batches.PROJECTOR, batch_runs.PROJECTOR, workflow_runs.PROJECTOR):
            catch_up(self._gateway.core.engine, self._gateway.core.store, projector)


def end(gateway: Gateway, run: UUID, fails: bool = False) -> None:
    gateway.core.bus.execute(StartWorkflow(run, "w", ()), an_envelope())
    epoch = sum(recorded.type == "workflow.started" for recorded in gateway.core.store.history(run))
    ending = FailWorkflow(run, epoch, "no model") if fails else CompleteWorkflow(run, epoch)
    gateway.core.bus.execute(ending, an_envelope())


async def test_each_task_has_one_run_and_two_are_unfinished_at_most_whoever_is_killed(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await put_agents(client)
        follow = Following(gateway, client, await asked(client, tasks=5, at_once=2))
        ended = 0
        while unfinished := await follow.unfinished():
            assert len(unfinished) <= 2
            end(gateway, unfinished[0])
            ended += 1
            async with policy(gateway, CheckpointsOfAVictim):
                await follow.until(requested=min(5, ended + 2))
            async with policy(gateway):
                await heard_all(gateway)
        assert [run["ref"] for run in await follow.runs()] == list("01234")
        batch = await follow.batch()
    assert {"state": "completed", "tasks": 5, "completed": 5, "waiting": 0}.items() <= batch.items()
    history = gateway.core.store.history(UUID(batch["batch_id"]))
    assert [recorded.type for recorded in history].count("batch.run_requested") == 5
    streamed = gateway.core.feed.page(batch=UUID(batch["batch_id"]))
    everything = [event for event in gateway.core.feed.page() if event["type"] != "agent_roster.revised"]
    assert [event["position"] for event in streamed] == [event["position"] for event in everything]


async def test_a_batch_is_paused_resumed_retried_and_stopped(gateway: Gateway) -> None:
    async with gateway.client() as client, gateway.client(Role.VIEWER) as viewer, policy(gateway):
        await put_agents(client)
        at = await asked(client, tasks=4, at_once=2)
        follow = Following(gateway, client, at)
        tag = f'"{(await follow.batch())["version"]}"'
        assert (await viewer.post(f"{at}/pause")).status_code == 403
        assert (await client.post(f"{at}/pause", headers={"If-Match": '"1"'})).status_code == 412
        paused = await client.post(f"{at}/pause", headers={"If-Match": tag}, json={"reason": "lunch"})
        assert paused.status_code == 200
        for run in await follow.unfinished():
            end(gateway, run, fails=True)
        await heard_all(gateway)
        assert {"state": "paused", "reason": "lunch", "requested": 2}.items() <= (await follow.batch()).items()
        assert (await client.post(f"{at}/resume")).status_code == 200
        assert (await client.post(f"{at}/resume")).json()["type"] == "urn:caravan:problem:already-done"
        assert len(await follow.unfinished()) == 2
        retried = await client.post(f"{at}/retry", json={"limits": {"steps": 9}, "reason": "it is back"})
        assert retried.status_code == 200, retried.text
        for state, completed, waiting in (("running", 2, 2), ("completed", 4, 0)):
            for run in await follow.unfinished():
                end(gateway, run)
            await follow.until(state=state, completed=completed, waiting=waiting)
        batch = await follow.batch()
        assert (batch["state"], batch["completed"], batch["failed"]) == ("completed", 4, 0)
        assert (await client.post(f"{at}/stop")).json()["detail"] == "the batch is completed already"

        at = await asked(client, tasks=9, at_once=3)
        follow = Following(gateway, client, at)
        assert (await client.post(f"{at}/stop", json={"reason": "enough"})).status_code == 200
        await follow.until(stopped=3)
        assert {"state": "stopped", "requested": 3, "waiting": 6}.items() <= (await follow.batch()).items()
        assert {run["reason"] for run in await follow.runs()} == {"enough"}


async def test_batches_are_listed_the_newest_first_and_by_state(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:
        (batch,) = (await viewer.get("/v1/batches", params={"state": "stopped"})).json()["items"]
        assert (await viewer.get("/v1/batches", params={"state": "running"})).json()["items"] == []
        runs = (await viewer.get("/v1/workflows", params={"batch": batch["batch_id"]})).json()["items"]
    assert (batch["name"], batch["tasks"], batch["requested"]) == ("second", 3, 3)
    assert (batch["completed"], batch["timed_out"], batch["running"]) == (1, 1, 1)
    assert {run["run_id"] for run in runs} >= {str(story.RUN), str(story.id_of("timed out run"))}
    assert batch["steps"] == sum(run["steps"] for run in runs)


@pytest.mark.parametrize(
    ("body", "pointer", "why"),
    [
        ({"tasks": []}, "/tasks", "at least 1"),
        ({"tasks": [{"turns": ["x"]}] * (MOST_TASKS + 1)}, "/tasks", "at most 1000"),
        ({"tasks": [{"turns": ["x"]}], "at_once": 0}, "/at_once", "1"),
    ],
)
async def test_what_cannot_be_a_batch_is_refused_with_where_and_why(
    gateway: Gateway, body: dict[str, Any], pointer: str, why: str
) -> None:
    async with gateway.client() as client:
        answer = await client.post("/v1/workflows/batch", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert why in error["detail"]
