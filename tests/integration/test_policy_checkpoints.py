"""A policy's place in Postgres: it only moves on, and what could not be handled is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from adapters.artifacts import DatasetFolder
from adapters.event_store import PostgresEventStore
from adapters.policy_checkpoints import PolicyCheckpoints
from adapters.shared_drafts import SharedDrafter
from commands.bus import CommandBus
from commands.datasets import RequestDataset
from commands.handlers import handlers
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from commands.policies.runner import PolicyRunner
from commands.preferences import ProposePreference
from domain.events import Actor, ActorKind
from tests.builders import a_pair
from tests.eventually import eventually
from tests.fakes import BASE_MODELS, JsonRoster, an_envelope


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture
def checkpoints(engine: Engine) -> PolicyCheckpoints:
    return PolicyCheckpoints(engine)


def test_a_place_only_moves_on_and_each_policy_has_its_own(checkpoints: PolicyCheckpoints) -> None:
    assert checkpoints.position("notes") == 0
    for position in (5, 9, 7):
        checkpoints.move("notes", position)
    assert checkpoints.position("notes") == 9
    assert checkpoints.position("others") == 0


def test_what_is_parked_is_passed_kept_and_released(checkpoints: PolicyCheckpoints) -> None:
    checkpoints.park("notes", 7, "a bug")
    checkpoints.park("notes", 3, "another bug")
    checkpoints.park("notes", 7, "the bug again")
    checkpoints.park("others", 1, "")
    assert checkpoints.position("notes") == 7
    assert checkpoints.parked("notes") == [3, 7]
    checkpoints.release("notes", 3)
    assert checkpoints.parked("notes") == [7]


def test_parked_events_are_counted_by_policy(checkpoints: PolicyCheckpoints) -> None:
    checkpoints.park("notes", 7, "a bug")
    checkpoints.park("notes", 3, "NUL: \x00, a surrogate: \ud800, and much more" + "!" * 10**6)
    checkpoints.move("others", 7)
    assert {one.policy: one.parked for one in checkpoints.standings()} == {"notes": 2, "others": 0}


async def test_a_requested_dataset_is_built_by_the_next_worker_that_comes(
    database: str, checkpoints: PolicyCheckpoints, tmp_path: Path
) -> None:
    with closing(PostgresEventStore(database)) as store:
        bus = CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store)
        bus.execute(ProposePreference(a_pair()), an_envelope())
        dataset = bus.execute(RequestDataset(), an_envelope()).id
        files = DatasetFolder(tmp_path)
        drafter = SharedDrafter(store, database, processes=1)
        policy = BuildDataset(store, drafter, files, bus.execute, Actor("worker", ActorKind.AUTOMATION)).policy
        runner, stop = PolicyRunner(policy, store, checkpoints, poll_seconds=0.05), asyncio.Event()
        task = asyncio.create_task(runner.run(stop))
        await eventually(lambda: checkpoints.position(policy.name) == store.head() == 3)
        stop.set()
        await task
        assert [recorded.type for recorded in store.history(dataset)] == ["dataset.requested", "dataset.built"]
        assert files.path(dataset).read_bytes().count(b"\n") == 1
