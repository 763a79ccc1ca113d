"""Many WebSockets on one run whose steps are appended at a steady rate: from a step's commit, as PostgreSQL remembers
it, to each client. The gateway is a process of its own, served as in production; so are the clients, which only find
the position in each frame. One of them never reads: it must be closed, and cost the others and the gateway nothing.
There is no peer."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast
from uuid import UUID

import psycopg
import uvicorn
import uvloop
from uuid_utils.compat import uuid7

from adapters import schema
from adapters.bell import Bell
from adapters.embedded.nats_server import EmbeddedNats
from adapters.event_json import PlainJsonMapper
from adapters.event_store import PostgresEventStore
from domain.access import Role
from domain.events import ActorKind
from domain.workflow import Step, Task, Workflow, step_id
from gateway.app import create_app
from gateway.bootstrap import open_core
from gateway.logging import configure_logging
from gateway.running import collect_rarely
from gateway.serving import server_of
from gateway.settings import Settings
from gateway.streams import TOO_SLOW
from tests.bench.results import Result, latency
from tests.bench.server import server
from tests.bench.step_events import CALL, envelope

VIEWERS = int(os.environ.get("BENCH_VIEWERS", "500"))
RATE = 50
"""Steps a second."""
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
PATIENCE_SECONDS = 60.0
SETTLING_SECONDS = 3.0
LOG = "gateway.log"
_POSITION = re.compile(rb'"position":(\d+)')


@dataclass(frozen=True, slots=True)
class Served:
    """Where the gateway answers, a token for it, and its process."""

    host: str
    port: int
    token: str
    pid: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients saw: `positions` and `times` (seconds since the epoch) of all frames, client by client, of which
    each got `counts`; `repeated` frames came twice or out of order."""

    positions: array[int]
    times: array[float]
    counts: list[int]
    repeated: int


def run() -> Iterator[Result]:
    """`ours` is the median, in ms. What the gateway holds in memory early on and in the end is in MB; `too_slow` counts
    the clients that it closed as such: the one that never reads."""
    with ExitStack() as stack:
        database = stack.enter_context(server(track_commit_timestamp="on"))()
        schema.upgrade(database)
        nats_url = stack.enter_context(_nats())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        served = stack.enter_context(_gateway(database, nats_url, folder))
        bell = stack.enter_context(closing(Bell(nats_url)))
        store = stack.enter_context(closing(PostgresEventStore(database, on_append=bell.ring)))
        run = _started(store)
        with _clients(served, run.id) as clients:
            clients.recv()
            began = store.head()
            memory = asyncio.run(_append(store, run, served.pid))
            clients.send(store.head())
            seen: Seen = clients.recv()
        too_slow = (folder / LOG).read_text().count(TOO_SLOW[1])
        yield _result(database, began, store.head(), memory, seen, too_slow)


def _result(database: str, began: int, head: int, memory: tuple[float, float], seen: Seen, too_slow: int) -> Result:
    steps = head - began
    committed = _committed(database, began)
    waits = [1000 * (at - committed[position]) for position, at in zip(seen.positions, seen.times, strict=True)]
    if seen.repeated or any(count != steps for count in seen.counts):
        raise AssertionError(f"{seen.repeated} frames too many; of {steps} came {min(seen.counts)}")
    parameters = {"viewers": VIEWERS, "rate": RATE, "seconds": round(SECONDS)}
    told = {"memory_mb_before": memory[0], "memory_mb_after": memory[1], "too_slow": too_slow}
    return Result("viewers", parameters, median(waits), "ms", latency={**latency(waits), **told})


async def _append(store: PostgresEventStore, run: Workflow, gateway: int) -> tuple[float, float]:
    """Steps at the rate, each begun when it is due. Returns what the gateway held after a sixth of the time, and in the
    end (in MB)."""
    mapper, start, steps = PlainJsonMapper(), time.time(), int(RATE * SECONDS)
    early = 0.0
    for number in range(steps):
        await asyncio.sleep(max(0.0, start + number / RATE - time.time()))
        if number == steps // 6:
            early = _resident(gateway)
        n = run.version
        run.record_step(1, Step(step_id(run.id, "ada", "answer", n), "ada", "answer", n, CALL), datetime.now(UTC))
        events = [mapper.to_stored_event(event) for event in run.collect_events()]
        await store.recorder.insert_events_async(events, envelope=envelope())
    return early, _resident(gateway)


def _started(store: PostgresEventStore) -> Workflow:
    now = datetime.now(UTC)
    run = Workflow.request(uuid7(), "mutual_ranking", Task(("Why is the sky blue?",)), 1, ("ada",), "", None, at=now)
    run.start("bench", (), at=now)
    store.session(envelope()).save(run)
    return run


def _committed(database: str, after: int) -> Mapping[int, float]:
    query = (
        "SELECT notification_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM stored_events"
        " WHERE notification_id > %s"
    )
    with psycopg.connect(database) as db:
        return dict(db.execute(query, (after,)).fetchall())


def _resident(pid: int) -> float:
    """What a process holds in memory, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- the gateway


@contextmanager
def _nats() -> Iterator[str]:
    with TemporaryDirectory() as folder, EmbeddedNats(Path(folder) / "nats", Path(folder) / "nats.log") as running:
        yield running.url


@contextmanager
def _gateway(database: str, nats_url: str, folder: Path) -> Iterator[Served]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=[database, nats_url, folder, theirs], daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(database: str, nats_url: str, folder: Path, ready: Connection) -> None:
    collect_rarely()
    settings = Settings(database_url=database, nats_url=nats_url, home=folder, artifacts=folder, port=0)
    with open_core(settings) as core:
        configure_logging("INFO", "bench", folder / LOG)
        token = core.tokens.create("bench", Role.VIEWER, ActorKind.AUTOMATION, by="bench")
        serving = server_of(create_app(core), settings)
        with asyncio.Runner(loop_factory=serving.config.get_loop_factory()) as runner:
            runner.run(_serve_and_tell(serving, ready, token))


async def _serve_and_tell(serving: uvicorn.Server, ready: Connection, token: str) -> None:
    job = asyncio.create_task(serving.serve())
    while not serving.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    host, port = serving.servers[0].sockets[0].getsockname()
    ready.send(Served(host, port, token, os.getpid()))
    await job


# --- the clients


class Viewer(asyncio.Protocol):
    """Reads frames as cheaply as it can: the server's are not masked, and of each only the position is wanted."""

    def __init__(self, request: bytes, positions: array[int], times: array[float]) -> None:
        self._request, self._positions, self._times = request, positions, times
        self._rest = b""
        self.opened = asyncio.get_running_loop().create_future()
        self.last = self.count = self.repeated = 0
        self.closed: int | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._rest + data if self._rest else data
        at = 0
        if not self.opened.done():
            head, mark, data = data.partition(b"\r\n\r\n")
            if not mark:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(RuntimeError(head.decode()))
                return
            self.opened.set_result(None)
        while (end := _frame_end(data, at)) is not None:
            self._frame(data, at, end, now)
            at = end
        self._rest = data[at:]

    def _frame(self, data: bytes, at: int, end: int, now: float) -> None:
        match data[at] & 0xF:
            case 0x1:
                found = _POSITION.search(data, at, end)
                position = int(found[1]) if found else 0
                if position <= self.last:
                    self.repeated += 1
                if b'"heartbeat"' not in data[at : min(end, at + 40)]:
                    self.last = position
                    self.count += 1
                    self._positions.append(position)
                    self._times.append(now)
            case 0x8:
                self.closed = int.from_bytes(data[at + 2 : at + 4])
            case 0x9:
                self._transport.write(b"\x8a\x84\0\0\0\0" + data[at + 2 : end])


def _frame_end(data: bytes, at: int) -> int | None:
    if len(data) < at + 2:
        return None
    length, start = data[at + 1], at + 2
    if length == 126:
        length, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        if len(data) < start:
            return None
    return start + length if len(data) >= start + length else None


@contextmanager
def _clients(served: Served, run: UUID) -> Iterator[Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_view, args=[served, run, theirs], daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def _view(served: Served, run: UUID, pipe: Connection) -> None:
    collect_rarely()
    uvloop.run(_all_view(served, run, pipe))


async def _all_view(served: Served, run: UUID, pipe: Connection) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /v1/stream?workflow={run} HTTP/1.1\r\nHost: {served.host}:{served.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {served.token}\r\n\r\n"
    ).encode()
    positions, times = array("q"), array("d")
    loop = asyncio.get_running_loop()
    stalled = await _stalled(served, request)
    viewers = []
    for _ in range(VIEWERS - 1):
        _, viewer = await loop.create_connection(lambda: Viewer(request, positions, times), served.host, served.port)
        await viewer.opened
        viewers.append(viewer)
    await asyncio.sleep(SETTLING_SECONDS)
    pipe.send("ready")
    head = await asyncio.to_thread(pipe.recv)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(viewer.last < head for viewer in viewers):  # noqa: ASYNC110 - their frames are many, and the end is one
            await asyncio.sleep(0.1)
    stalled.close()
    pipe.send(Seen(positions, times, [v.count for v in viewers], sum(v.repeated for v in viewers)))


async def _stalled(served: Served, request: bytes) -> socket.socket:
    """Asks for the stream and never reads a byte of it."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stalled, (served.host, served.port))
    await loop.sock_sendall(stalled, request)
    return stalled
