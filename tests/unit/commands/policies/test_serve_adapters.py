"""Replicas follow the registry, whatever becomes of either; what one of them does harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from commands.policies.serve_adapters import ServeAdapters
from domain.lora_weights import LoraForm, Weights
from domain.serving import Listing, NotLoaded, ReplicaAway, ReplicaStanding, Servable, ServingState
from tests.builders import NOW
from tests.eventually import eventually

BASE = "base"
FORM = LoraForm(4, 8, frozenset({"q_proj"}))
AA, BB, OTHER = Weights("aa", FORM), Weights("bb", FORM), Weights("aa", replace(FORM, lora_alpha=1_024))
ONE, TWO = Servable(AA, BASE), Servable(BB, BASE)


class FakeReplica:
    """A model server in memory, which knows its weights."""

    kind = "fake"
    base = BASE

    def __init__(self, name: str = "http://one/v1") -> None:
        self.name = name
        self.adapters: dict[str, Weights | None] = {}
        self.stumbles_over = ""
        self.refuses: dict[str, str] = {}
        self.dies_of = ""
        self.asked: list[str] = []
        self.away = False
        self.fault: Exception | None = None
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def listing(self) -> Listing:
        await self.hangs.wait()
        if self.fault:
            raise self.fault
        if self.away:
            raise ReplicaAway(f"{self.name} does not answer; is it up?")
        return Listing(frozenset({BASE}), dict(self.adapters))

    async def load(self, name: str, weights: Weights) -> None:
        self.asked.append(name)
        if name == self.stumbles_over:
            raise NotImplementedError("no such operation on \ud800")
        if name == self.dies_of:
            raise ReplicaAway(f"{self.name} does not answer; is it up?")
        if name in self.refuses:
            raise NotLoaded(self.refuses[name])
        self.adapters[name] = weights

    async def unload(self, name: str) -> None:
        del self.adapters[name]


class Serving:
    """A registry and its reconciler, which looks every few milliseconds."""

    def __init__(self, *replicas: FakeReplica, poll_seconds: float = 0.005) -> None:
        self.registered: dict[str, Servable] = {"team@1": ONE}
        self.told: Sequence[ReplicaStanding] = ()
        self.unreadable = False
        self.policy = ServeAdapters(self._registered, replicas, self._tell, lambda: NOW, poll_seconds)

    def of(self, replica: FakeReplica) -> ReplicaStanding | None:
        return next((one for one in self.told if one.replica == replica.name), None)

    async def until(self, replica: FakeReplica, **expected: object) -> ReplicaStanding:
        async with asyncio.timeout(20):
            while True:
                standing = self.of(replica)
                if standing and all(getattr(standing, name) == value for name, value in expected.items()):
                    return standing
                await asyncio.sleep(0.002)

    def _registered(self) -> dict[str, Servable]:
        if self.unreadable:
            raise ConnectionError("the database is away")
        return dict(self.registered)

    async def _tell(self, standings: Sequence[ReplicaStanding]) -> None:
        self.told = standings


@asynccontextmanager
async def running(serving: Serving):
    stop = asyncio.Event()
    task = asyncio.create_task(serving.policy.run(stop))
    yield serving
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_a_replica_comes_to_serve_what_is_registered_and_loses_what_is_retired_or_foreign():
    replica = FakeReplica()
    replica.adapters = {"stranger": None}
    async with running(Serving(replica)) as serving:
        await serving.until(replica, state=ServingState.IN_STEP, served=["team@1"])

        serving.registered["team@2"] = TWO
        await serving.until(replica, state=ServingState.IN_STEP, served=["team@1", "team@2"])

        del serving.registered["team@1"]
        await serving.until(replica, state=ServingState.IN_STEP, served=["team@2"], wanted=["team@2"])
    assert replica.adapters == {"team@2": BB}


async def test_a_replica_that_restarts_or_serves_other_weights_is_brought_back():
    replica = FakeReplica()
    async with running(Serving(replica)) as serving:
        await serving.until(replica, served=["team@1"])
        for wrong in ({}, {"team@1": OTHER}):
            replica.adapters = wrong
            await eventually(lambda: replica.adapters == {"team@1": AA})


async def test_news_is_heard_at_once():
    replica = FakeReplica()
    async with running(Serving(replica, poll_seconds=3600)) as serving:
        await serving.until(replica, served=["team@1"])

        serving.registered["team@2"] = TWO
        serving.policy.wake()

        await serving.until(replica, served=["team@1", "team@2"])


async def test_a_replica_that_hangs_or_is_away_harms_no_other_and_comes_back():
    well, hanging, away = FakeReplica("http://well/v1"), FakeReplica("http://hangs/v1"), FakeReplica("http://away/v1")
    hanging.hangs.clear()
    away.away = True
    async with running(Serving(well, hanging, away)) as serving:
        await serving.until(well, state=ServingState.IN_STEP)
        standing = await serving.until(away, state=ServingState.AWAY, wanted=["team@1"], served=[])
        assert "is it up?" in standing.error
        assert serving.of(hanging) is None

        away.away = False
        hanging.hangs.set()

        await serving.until(away, state=ServingState.IN_STEP, error="")
        await serving.until(hanging, state=ServingState.IN_STEP)


async def test_a_refused_adapter_is_told_with_its_reason_and_keeps_no_other_from_being_served():
    replica = FakeReplica()
    replica.refuses = {"team@1": "adapter 'team@1' is refused: it is a pickle"}
    serving = Serving(replica)
    serving.registered["team@2"] = TWO
    async with running(serving):
        standing = await serving.until(replica, state=ServingState.BEHIND, served=["team@2"])
        assert standing.refused == {"team@1": "adapter 'team@1' is refused: it is a pickle"}
        await asyncio.sleep(0.05)
        assert replica.asked.count("team@1") == 1, "what was refused is not asked for again and again"

        replica.refuses = {}
        serving.policy.wake()

        await serving.until(replica, state=ServingState.IN_STEP, refused={})


async def test_an_adapter_whose_check_fails_in_an_unforeseen_way_keeps_no_other_from_being_served():
    replica = FakeReplica()
    replica.stumbles_over = "team@1"
    serving = Serving(replica)
    serving.registered["team@2"] = TWO
    async with running(serving):
        standing = await serving.until(replica, state=ServingState.BEHIND, served=["team@2"])
        assert standing.refused == {"team@1": "team@1: NotImplementedError: no such operation on \u241bd800"}


async def test_an_adapter_that_its_server_dies_of_keeps_no_other_from_being_served():
    replica = FakeReplica()
    replica.dies_of = "team@1"
    serving = Serving(replica)
    serving.registered["team@2"] = TWO
    async with running(serving):
        standing = await serving.until(replica, state=ServingState.BEHIND, served=["team@2"])
        assert standing.refused == {"team@1": "team@1: http://one/v1 does not answer; is it up?"}
        await asyncio.sleep(0.05)
        assert replica.asked.count("team@1") == 1

        replica.dies_of = ""
        serving.policy.wake()

        await serving.until(replica, state=ServingState.IN_STEP, refused={})


async def test_that_somebody_looks_after_them_is_told_also_while_one_takes_long():
    hanging = FakeReplica()
    hanging.hangs.clear()
    serving = Serving(hanging)
    told = 0

    async def count(standings: Sequence[ReplicaStanding]) -> None:
        nonlocal told
        told += 1

    serving.policy = ServeAdapters(serving.registered.copy, [hanging], count, lambda: NOW, poll_seconds=0.005)
    async with running(serving):
        await eventually(lambda: told >= 3)
        hanging.hangs.set()


async def test_a_fault_of_ours_is_told_as_well_and_outlived():
    replica = FakeReplica()
    async with running(Serving(replica)) as serving:
        await serving.until(replica, state=ServingState.IN_STEP)
        replica.fault = RuntimeError("no room for \ud800")
        await serving.until(replica, state=ServingState.AWAY, served=[], error="RuntimeError: no room for \u241bd800")
        replica.fault = None
        await serving.until(replica, state=ServingState.IN_STEP, error="")


async def test_what_could_not_be_told_is_told_again():
    replica, told = FakeReplica(), list[Sequence[ReplicaStanding]]()
    serving = Serving(replica)

    async def tell(standings: Sequence[ReplicaStanding]) -> None:
        told.append(standings)
        if len(told) <= 4:
            raise ValueError("no JSON")

    serving.policy = ServeAdapters(serving.registered.copy, [replica], tell, lambda: NOW, poll_seconds=0.005)
    async with running(serving):
        await eventually(lambda: len(told) > 6)
    assert replica.adapters == {"team@1": AA}


@pytest.mark.parametrize("way_out", ["it is retired", "the server has it after all"])
async def test_a_refusal_is_forgotten_when_there_is_nothing_left_to_do(way_out: str):
    replica = FakeReplica()
    replica.refuses = {"team@1": "no"}
    async with running(Serving(replica)) as serving:
        await serving.until(replica, state=ServingState.BEHIND)
        if way_out == "it is retired":
            serving.registered.clear()
        else:
            replica.adapters["team@1"] = AA
        await serving.until(replica, state=ServingState.IN_STEP, refused={})


async def test_while_the_registry_cannot_be_read_everything_stays_as_it_is():
    replica = FakeReplica()
    async with running(Serving(replica)) as serving:
        await serving.until(replica, served=["team@1"])
        serving.unreadable = True
        await asyncio.sleep(0.03)
        assert replica.adapters == {"team@1": AA}

        serving.registered["team@2"] = TWO
        serving.unreadable = False
        await serving.until(replica, served=["team@1", "team@2"])
