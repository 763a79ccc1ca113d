"""The projectors' process: read models follow the log, with news and without, and one that fails stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from adapters.embedded.nats_server import EmbeddedNats
from adapters.schema import upgrade
from domain.steps import Task
from domain.workflow import Workflow
from gateway import projectors
from gateway.bootstrap import Core, open_core
from gateway.projectors import follow, seal
from gateway.settings import Settings
from projections import ALL, READ_MODELS, workflow_runs
from projections.status import status, wait_for
from tests import story


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as server:
        yield server


@pytest.fixture
def core(database: str, server: EmbeddedNats, tmp_path: Path) -> Iterator[Core]:
    upgrade(database)
    settings = Settings(home=tmp_path, artifacts=tmp_path / "artifacts", database_url=database, nats_url=server.url)
    with open_core(settings) as core:
        yield core


@asynccontextmanager
async def running(core: Core) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(follow(core, ALL, stop))
        try:
            yield
        finally:
            stop.set()


def tell(core: Core) -> int:
    for aggregate in story.everything():
        core.store.session(story.ENVELOPE).save(aggregate)
    return core.store.head()


async def come_to(engine: Engine, position: int, *names: str, within: float = 60.0) -> bool:
    wanted = names or tuple(each.name for each in READ_MODELS)
    return await asyncio.to_thread(wait_for, engine, wanted, position, within)


async def test_every_read_model_follows_the_log(core: Core):
    async with running(core):
        assert await come_to(core.engine, tell(core))
    with core.engine.connect() as db:
        assert workflow_runs.counts(db)["completed"] == 1
    assert {standing.lag for standing in status(core.engine, core.store.head())} == {0}


async def one_that_is_heard(core: Core) -> int:
    """The position of an event that somebody heard of: NATS may not be there for them yet when the first is told."""
    while True:
        again = Workflow.request(uuid7(), "mutual_ranking", Task(("Why?",)), 1, (), "", None, at=story.at(0))
        position = core.store.session(story.ENVELOPE).save(again).position
        if await come_to(core.engine, position, workflow_runs.PROJECTOR.name, within=1.0):
            return position


async def test_an_append_wakes_those_who_fold_it_at_once_and_the_others_soon(
    core: Core, monkeypatch: pytest.MonkeyPatch
):
    async with running(core):
        assert await come_to(core.engine, tell(core))
        monkeypatch.setattr(projectors, "POLL_SECONDS", 600)
        await asyncio.sleep(1.5)  # whoever polled by the old clock sleeps by the new one now
        assert await come_to(core.engine, await one_that_is_heard(core))


async def test_without_nats_they_follow_it_a_little_later(core: Core, server: EmbeddedNats):
    server.stop()
    async with running(core):
        assert await come_to(core.engine, tell(core))


async def test_one_that_cannot_go_on_stops_no_other_and_goes_on_once_it_can(core: Core):
    with core.engine.begin() as db:
        workflow_runs.TABLE.drop(db)
    others = tuple(projector.name for projector in ALL if projector is not workflow_runs.PROJECTOR)
    async with running(core):
        head = tell(core)
        assert await come_to(core.engine, head, *others)
        assert status(core.engine, head)[0].lag == head
        with core.engine.begin() as db:
            workflow_runs.TABLE.create(db)
        assert await come_to(core.engine, head)


async def test_what_came_last_is_sealed_and_anchored_at_the_end(core: Core):
    stop = asyncio.Event()
    sealing = asyncio.create_task(seal(core, stop))
    head = tell(core)
    stop.set()
    await sealing
    standing = core.seals.standing()
    assert (standing.sealed, standing.anchored) == (head, {"file": head})
    assert core.settings.anchors.exists()
