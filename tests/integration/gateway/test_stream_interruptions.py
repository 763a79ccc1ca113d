"""A viewer whose connection breaks again and again, by seed and at the worst moments, while others write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random

import httpx
import pytest
from httpx_sse import aconnect_sse
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from domain.access import Role
from tests import story
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served

BREAKS = 50
WRITERS = 2

Visit = Callable[[int, Random], Awaitable[list[int]]]
"""The positions after the given one that a client takes in until its connection breaks."""


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway.app) as address:
        yield address


@pytest.fixture
def headers(gateway: Gateway) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.tokens[Role.VIEWER]}"}


async def test_fifty_broken_websockets_get_every_position_once(
    gateway: Gateway, address: str, headers: dict[str, str]
) -> None:
    url = f"ws://{address}/v1/stream?after="

    async def orderly(after: int, chance: Random) -> list[int]:
        async with connect(f"{url}{after}", additional_headers=headers, close_timeout=0.1) as socket:
            return await taken(socket.recv, chance.randint(0, 12))

    async def aborted(after: int, chance: Random) -> list[int]:
        async with connect(f"{url}{after}", additional_headers=headers, close_timeout=0.1) as socket:
            seen = await taken(socket.recv, chance.randint(0, 12))
            socket.transport.abort()
            return seen

    async def before_the_first_frame(after: int, chance: Random) -> list[int]:
        async with connect(f"{url}{after}", additional_headers=headers, close_timeout=0.1) as socket:
            socket.transport.abort()
            return []

    async def within_a_frame(after: int, chance: Random) -> list[int]:
        """Of what came only whole frames count, as in any client."""
        protocol = ClientProtocol(parse_uri(f"{url}{after}"))
        request = protocol.connect()
        request.headers.update(headers)
        protocol.send_request(request)
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"".join(protocol.data_to_send()))
        with suppress(asyncio.IncompleteReadError, TimeoutError):
            protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
            async with asyncio.timeout(0.2):
                protocol.receive_data(await reader.readexactly(chance.randint(1, 9_000)))
        writer.transport.abort()
        frames = [event for event in protocol.events_received() if isinstance(event, Frame)]
        return [json.loads(bytes(frame.data))["position"] for frame in frames if frame.opcode is Opcode.TEXT]

    ways = [orderly, aborted, before_the_first_frame, within_a_frame]
    assert await broken_off_again_and_again(gateway, ways, Random(1)) == positions(gateway)


async def test_fifty_broken_event_sources_get_every_position_once(
    gateway: Gateway, address: str, headers: dict[str, str]
) -> None:
    async def broken(after: int, chance: Random) -> list[int]:
        """Comes back as a browser does."""
        come_back = headers | {"Last-Event-ID": str(after)}
        async with (
            httpx.AsyncClient(headers=come_back) as client,
            aconnect_sse(client, "GET", f"http://{address}/v1/stream") as source,
        ):
            events = source.aiter_sse()

            async def receive() -> str:
                return (await anext(events)).data

            return await taken(receive, chance.randint(0, 12))

    assert await broken_off_again_and_again(gateway, [broken], Random(3)) == positions(gateway)


async def broken_off_again_and_again(gateway: Gateway, ways: Sequence[Visit], chance: Random) -> list[int]:
    """What a client saw who came back fifty times after a break, and once more for the rest."""
    seen: list[int] = []
    async with writers(gateway, chance):
        for _ in range(BREAKS):
            seen += await chance.choice(ways)(seen[-1] if seen else 0, chance)
            await asyncio.sleep(chance.choice([0, 0, 0.02]))
    while not seen or seen[-1] < gateway.core.store.head():
        seen += await ways[0](seen[-1] if seen else 0, chance)
    return seen


@asynccontextmanager
async def writers(gateway: Gateway, chance: Random) -> AsyncIterator[None]:
    """Two that append side by side, now in bursts and now slowly, for as long as the client comes and goes."""
    done = asyncio.Event()

    def append(seed: int, count: int) -> None:
        for number in range(count):
            gateway.core.store.session(story.ENVELOPE).save(story.preference(f"{seed}/{number}"))

    async def write(mine: Random) -> None:
        while not done.is_set():
            await asyncio.to_thread(append, mine.randrange(2**60), mine.choice([1, 1, 2, 10]))
            await asyncio.sleep(mine.choice([0.01, 0.05, 0.1]))

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write(Random(chance.random())))
        yield
        done.set()


async def taken(receive: Callable[[], Awaitable[str | bytes]], count: int) -> list[int]:
    """The positions of the next `count` events, or of fewer where there are no more for now."""
    found: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            while len(found) < count:
                found.append(json.loads(await receive())["position"])
    return found


def positions(gateway: Gateway) -> list[int]:
    return [recorded.position for recorded in gateway.core.store.read()]
