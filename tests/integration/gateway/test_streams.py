"""The live stream over real connections: WebSocket and server-sent events, with one cursor for both."""

from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import psutil
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from domain.access import Role
from domain.events import Actor, ActorKind
from domain.preference import Verdict
from domain.workflow import Workflow, step_id
from gateway import serving, streams, tail
from gateway.asyncapi import asyncapi
from tests import story
from tests.builders import a_started_workflow, a_step
from tests.eventually import eventually
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway.app) as address:
        yield address


def bearer(gateway: Gateway, role: Role = Role.VIEWER) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.tokens[role]}"}


def listening(gateway: Gateway, address: str, query: str = "", **more: Any) -> connect:
    return connect(f"ws://{address}/v1/stream{query}", additional_headers=bearer(gateway), close_timeout=0.2, **more)


def is_followed(gateway: Gateway) -> bool:
    return bool(gateway.app.state.streams.tail.has_clients)


async def frames(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        return [json.loads(await socket.recv()) for _ in range(count)]


def write(gateway: Gateway, count: int) -> None:
    """So many events, each of its own aggregate."""
    for _ in range(count):
        pair = story.preference(str(random.random()))
        gateway.core.store.session(story.ENVELOPE).save(pair)


async def test_history_and_what_happens_now_come_through_one_websocket(gateway: Gateway, address: str) -> None:
    gateway.tell(story.roster(), story.completed_run())
    head = gateway.core.store.head()
    async with listening(gateway, address, "?after=0") as socket:
        history = await frames(socket, head)
        await asyncio.to_thread(write, gateway, 3)
        live = await frames(socket, 3)
    assert [frame["position"] for frame in history + live] == list(range(1, head + 4))
    document = asyncapi("1")
    for frame in history + live:
        schema = {"$ref": f"#/components/schemas/{frame['type']}"}
        Draft202012Validator(document | schema).validate(frame)


async def test_another_server_is_given_frames_one_by_one(gateway: Gateway) -> None:
    gateway.tell(story.roster(), story.completed_run())
    head = gateway.core.store.head()
    with served(gateway.app, ws="websockets-sansio") as address:
        async with listening(gateway, address, "?after=0") as socket:
            assert [frame["position"] for frame in await frames(socket, head)] == list(range(1, head + 1))


async def test_only_the_wanted_types_of_the_wanted_run_come(gateway: Gateway, address: str) -> None:
    gateway.tell(story.roster(), story.completed_run(), story.stopped_run())
    async with listening(
        gateway, address, f"?after=0&workflow={story.RUN}&types=workflow.started,preference"
    ) as socket:
        got = await frames(socket, 2)
    assert [(frame["type"], frame["subject"]) for frame in got] == [("workflow.started", str(story.RUN))] * 2


async def test_one_agents_doings_in_a_run_come_alone(gateway: Gateway, address: str) -> None:
    run = a_started_workflow()
    gateway.core.store.session(story.ENVELOPE).save(run)
    for n, name in enumerate(("ada", "ben", "ada")):
        envelope = replace(story.ENVELOPE, actor=Actor(name, ActorKind.AGENT))
        again = gateway.core.store.session(envelope).get(Workflow, run.id)
        again.record_step(1, replace(a_step(), id=step_id(run.id, name, "answer", n), agent=name, n=n), at=story.at(9))
        gateway.core.store.session(envelope).save(again)
    async with listening(gateway, address, f"?after=0&workflow={run.id}&agent=ada") as socket:
        got = await frames(socket, 2)
    assert [(frame["actor"], frame["data"]["step"]["n"]) for frame in got] == [("ada", 0), ("ada", 2)]


async def test_a_stranger_is_refused_before_the_handshake_ends(address: str) -> None:
    for headers in ({}, {"Authorization": "Bearer crv_wrong"}, {"Authorization": "Basic eDp5"}):
        for path in ("/v1/stream", "/v1/workflows", "/nothing"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{address}{path}", additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body or b"")["type"] == "urn:caravan:problem:unauthorized"


async def test_a_token_in_the_address_is_no_token(gateway: Gateway, address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{address}/v1/stream?token={gateway.tokens[Role.ADMIN]}")
    assert refused.value.response.status_code == 401


async def test_a_browser_brings_its_token_as_a_subprotocol_that_is_not_echoed(gateway: Gateway, address: str) -> None:
    protocols: Any = ["caravan.v1", f"bearer.{gateway.tokens[Role.VIEWER]}"]
    gateway.tell(story.roster())
    async with connect(f"ws://{address}/v1/stream?after=0", subprotocols=protocols) as socket:
        assert socket.subprotocol == "caravan.v1"
        assert len(await frames(socket, 2)) == 2


async def test_a_bad_query_is_refused_with_a_reason(gateway: Gateway, address: str) -> None:
    async with httpx.AsyncClient(headers=bearer(gateway)) as client:
        for query in ("?after=99", "?after=-1", "?after=x", "?types=nothing", "?workflow=7", "?aftr=0", "?agent=ada"):
            with pytest.raises(InvalidStatus) as refused:
                await listening(gateway, address, query)
            assert refused.value.response.status_code == 422, query
            answer = await client.get(f"http://{address}/v1/stream{query}")
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            assert json.loads(refused.value.response.body or b"")["detail"] == answer.json()["detail"]


async def test_a_last_event_id_that_is_no_position_is_refused_as_such(gateway: Gateway, address: str) -> None:
    async with httpx.AsyncClient(headers=bearer(gateway)) as client:
        for id in ("banana", "-1", "1.5", "9" * 5000):
            answer = await client.get(f"http://{address}/v1/stream", headers={"Last-Event-ID": id})
            assert answer.status_code == 422
            assert answer.json()["detail"] == "Last-Event-ID must be a position, a whole number"


async def test_a_client_that_does_not_read_is_closed_with_a_code_that_says_so(
    gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "QUEUE", 5)
    monkeypatch.setattr(streams, "SEND_SECONDS", 1.0)
    async with listening(gateway, address, max_queue=1, max_size=None, ping_interval=None) as socket:
        socket.transport.pause_reading()
        await eventually(lambda: is_followed(gateway))
        big = story.preference("big")
        big.annotate(Verdict.ACCEPTED, "x" * 4_000_000, at=story.at(1))
        gateway.core.store.session(story.ENVELOPE).save(big)
        await asyncio.to_thread(write, gateway, 20)
        await eventually(lambda: not is_followed(gateway))
        socket.transport.resume_reading()
        with pytest.raises(ConnectionClosed) as closed:
            await frames(socket, 1000)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4429
    assert "after=" in closed.value.rcvd.reason


async def test_a_client_that_never_reads_is_cut_off_and_costs_the_others_nothing(
    gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(serving, "CLOSE_SECONDS", 0.5)
    stalled = await asyncio.to_thread(one_that_never_reads, gateway, address)
    await eventually(lambda: is_followed(gateway))
    async with listening(gateway, address, max_size=None) as socket:
        large = story.preference("large")
        large.annotate(Verdict.ACCEPTED, "x" * 8_000_000, at=story.at(1))
        gateway.core.store.session(story.ENVELOPE).save(large)
        await asyncio.to_thread(write, gateway, 100)
        assert [frame["position"] for frame in await frames(socket, 102)] == list(range(1, 103))
    await eventually(lambda: not is_held(stalled))
    received = await asyncio.to_thread(all_that_comes, stalled)
    assert received < 8_000_000


def one_that_never_reads(gateway: Gateway, address: str) -> sockets.socket:
    stalled = sockets.socket()
    stalled.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    host, _, port = address.partition(":")
    stalled.connect((host, int(port)))
    lines = [
        "GET /v1/stream HTTP/1.1",
        f"Host: {address}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in bearer(gateway).items()),
    ]
    stalled.sendall("\r\n".join([*lines, "", ""]).encode())
    return stalled


def is_held(stalled: sockets.socket) -> bool:
    """Whether the server, which is in this very process, still has its end of the connection."""
    ours = stalled.getsockname()
    return any(end.raddr == ours for end in psutil.Process().connections("tcp4"))


def all_that_comes(stalled: sockets.socket) -> int:
    """How many bytes are still to be had, until the server's end of the connection. Raises TimeoutError."""
    stalled.settimeout(60)
    received = 0
    with stalled, suppress(ConnectionResetError):
        while chunk := stalled.recv(1 << 20):
            received += len(chunk)
    return received


async def test_a_stream_ends_when_its_token_is_revoked(gateway: Gateway, address: str) -> None:
    async with listening(gateway, address) as socket:
        gateway.core.tokens.revoke("viewer")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 60)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4401


async def test_a_quiet_stream_beats(gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(tail, "IDLE_SECONDS", 0.1)
    gateway.tell(story.roster())
    async with listening(gateway, address, "?after=1") as socket:
        got = await frames(socket, 2)
    assert got[0]["position"] == 2
    assert got[1] == {"type": "heartbeat", "position": 2}
    document = asyncapi("1")
    heartbeat = document["components"]["messages"]["heartbeat"]["payload"]
    Draft202012Validator(document | heartbeat).validate(got[1])


async def sse(client: httpx.AsyncClient, url: str, count: int, **headers: str) -> list[ServerSentEvent]:
    found: list[ServerSentEvent] = []
    async with asyncio.timeout(60), aconnect_sse(client, "GET", url, headers=headers) as source:
        async for event in source.aiter_sse():
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_server_sent_events_resume_where_the_browser_left_off(gateway: Gateway, address: str) -> None:
    gateway.tell(story.roster(), story.completed_run())
    head = gateway.core.store.head()
    async with httpx.AsyncClient(headers=bearer(gateway)) as client:
        url = f"http://{address}/v1/stream?after=0"
        first = await sse(client, url, 4)
        rest = await sse(client, url, head - 4, **{"Last-Event-ID": first[-1].id})
    assert [int(event.id) for event in first + rest] == list(range(1, head + 1))
    assert [event.event for event in first + rest] == [event.json()["type"] for event in first + rest]
    assert first[0].event == "agent_roster.revised"


async def test_server_sent_events_end_with_a_reason(gateway: Gateway, address: str) -> None:
    async with httpx.AsyncClient(headers=bearer(gateway)) as client:
        listening = asyncio.create_task(sse(client, f"http://{address}/v1/stream", 1))
        await eventually(lambda: is_followed(gateway))
        gateway.core.tokens.revoke("viewer")
        (event,) = await listening
    assert (event.event, event.json()["code"]) == ("ended", 4401)


async def test_the_server_does_not_say_what_it_is(gateway: Gateway, address: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/health/live")
    assert "server" not in answer.headers
