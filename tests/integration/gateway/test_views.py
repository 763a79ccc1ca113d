"""What a request keeps of the database's connections while it is answered: all requests together get by with few."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url

from domain.access import Role
from domain.events import event_id
from gateway import app, bootstrap
from tests import story
from tests.integration.gateway.conftest import opened

MORE_THAN_THREADS = 60


def few_connections(number: int, database_url: str) -> Engine:
    """A small pool. Who waits for a connection that somebody keeps is refused after a while."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    return create_engine(url, pool_size=number, max_overflow=0, pool_timeout=10)


async def test_no_question_needs_two_connections_at_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "open_engine", partial(few_connections, 1))
    with opened(database, tmp_path) as gateway:
        gateway.tell()
        walks = [f"events/{event_id(story.RUN, 9)}{walk}" for walk in ("", "/causes", "/effects")]
        async with gateway.client(Role.VIEWER) as viewer:
            for place in ("events", "events?agent=ada&after=1", *walks, f"preferences/{story.id_of('flipped')}"):
                assert (await viewer.get(f"/v1/{place}")).status_code == 200, place


async def test_many_requests_at_once_take_turns(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "open_engine", partial(few_connections, 2))
    monkeypatch.setattr(app, "OPEN_VIEWS", 1)
    with opened(database, tmp_path) as gateway:
        gateway.tell()
        async with gateway.client(Role.VIEWER) as viewer:
            answers = await asyncio.gather(*(viewer.get("/v1/workflows") for _ in range(MORE_THAN_THREADS)))
    assert {answer.status_code for answer in answers} == {200}
