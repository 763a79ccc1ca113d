"""What the libraries say during a training, followed over real connections while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from domain.access import Role
from domain.training import TrainingRun
from gateway import streams
from tests import story
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served

RUN = story.id_of("running training")
Events = AsyncIterator[ServerSentEvent]


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway.app) as address:
        yield address


@pytest.fixture
def log(gateway: Gateway) -> Path:
    """Where that of the run is, once there is any."""
    gateway.tell(story.dataset(), story.requested_training("running training"))
    file = gateway.core.training_log(RUN)
    file.parent.mkdir(parents=True)
    return file


@asynccontextmanager
async def following(gateway: Gateway, address: str, query: str = "", **headers: str) -> AsyncIterator[Events]:
    headers |= {"Authorization": f"Bearer {gateway.tokens[Role.VIEWER]}"}
    url = f"http://{address}/v1/training-runs/{RUN}/log/stream{query}"
    async with (
        asyncio.timeout(30),
        httpx.AsyncClient(headers=headers, timeout=30) as client,
        aconnect_sse(client, "GET", url) as source,
    ):
        source.response.raise_for_status()
        yield source.aiter_sse()


async def happens(gateway: Gateway, what: str) -> None:
    """To the run: `start` or `cancel`."""

    def record() -> None:
        run = gateway.core.store.session(story.ENVELOPE).get(TrainingRun, RUN)
        if what == "start":
            run.start("trainer-gpu7-1-ab", "team@1", at=story.at(50))
        else:
            run.cancel("enough", at=story.at(51))
        gateway.core.store.session(story.ENVELOPE).save(run)

    await asyncio.to_thread(record)


def add(log: Path, said: bytes) -> None:
    with log.open("ab") as opened:
        opened.write(said)


def begin_anew(log: Path, said: bytes) -> None:
    log.write_bytes(said)


def said(event: ServerSentEvent) -> str:
    assert event.event == "log"
    return str(event.json()["text"])


async def test_a_log_is_told_as_it_grows_until_the_training_is_over(gateway: Gateway, address: str, log: Path) -> None:
    add(log, b"step 1\n")
    async with following(gateway, address) as events:
        assert said(await anext(events)) == "step 1\n"
        add(log, "loss ½\r".encode()[:-2])
        assert said(await anext(events)) == "loss "
        add(log, "½\r50%".encode()[1:])
        assert said(await anext(events)) == "½\r50%"
        await happens(gateway, "cancel")
        assert [(event.event, event.json()) async for event in events] == [("over", {"state": "cancelled"})]


async def test_who_comes_back_goes_on_where_it_was(gateway: Gateway, address: str, log: Path) -> None:
    add(log, b"one two three")
    async with following(gateway, address, "?tail=5") as events:
        last = await anext(events)
    assert (said(last), last.id) == ("three", "13")
    add(log, b" four")
    async with following(gateway, address, **{"Last-Event-ID": last.id}) as events:
        assert said(await anext(events)) == " four"
    async with following(gateway, address, "?from_byte=0") as events:
        assert said(await anext(events)) == "one two three four"


async def test_of_a_long_log_no_more_is_read_at_once_than_a_piece(gateway: Gateway, address: str, log: Path) -> None:
    add(log, b"x" * 200_000)
    async with following(gateway, address, "?from_byte=0") as events:
        assert [len(said(await anext(events))) for _ in range(4)] == [65_536, 65_536, 65_536, 3_392]


async def test_a_log_that_was_archived_meanwhile_is_told_from_its_new_beginning(
    gateway: Gateway, address: str, log: Path
) -> None:
    add(log, b"loading the model\n")
    async with following(gateway, address) as events:
        assert said(await anext(events)) == "loading the model\n"
        begin_anew(log, b"step 1\n")
        assert said(await anext(events)) == "step 1\n"


async def test_a_log_that_is_on_another_machine_is_told_to_be_there(gateway: Gateway, address: str, log: Path) -> None:
    async with following(gateway, address) as events:
        await happens(gateway, "start")
        event = await anext(events)
        assert event.event == "elsewhere"
        assert "is not on the gateway's machine" in event.json()["detail"]
        await happens(gateway, "cancel")
        assert [event.event async for event in events] == ["over"]
    gateway.catch_up()
    async with gateway.client(Role.VIEWER) as viewer:
        answer = await viewer.get(f"/v1/training-runs/{RUN}/log")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:caravan:problem:log-elsewhere")
    assert "its trainer, trainer-gpu7-1-ab, writes it" in answer.json()["detail"]
    async with following(gateway, address) as events:
        assert [event.event async for event in events] == ["elsewhere", "over"]


async def test_a_log_that_says_nothing_beats(
    gateway: Gateway, address: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    add(log, b"step 1\n")
    headers = {"Authorization": f"Bearer {gateway.tokens[Role.VIEWER]}"}
    url = f"http://{address}/v1/training-runs/{RUN}/log/stream"
    async with asyncio.timeout(30), httpx.AsyncClient(headers=headers) as client, client.stream("GET", url) as answer:
        lines = answer.aiter_lines()
        while await anext(lines) != ": nothing new":
            pass


async def test_a_stranger_hears_nothing_and_a_revoked_token_nothing_more(
    gateway: Gateway, address: str, log: Path
) -> None:
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(f"http://{address}/v1/training-runs/{RUN}/log/stream")).status_code == 401
    async with following(gateway, address) as events:
        gateway.core.tokens.revoke("viewer")
        last = await anext(events)
    assert (last.event, last.json()["code"]) == ("ended", 4401)
