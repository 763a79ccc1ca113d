"""A command over HTTP: asking for a run, against a bare route behind the same middleware, and against the same command
on the library's recorder. Each app is served by a process and on a database of its own, and logs as in production;
this process is the client. Nobody listens to what is appended: there are no projectors, and no NATS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from anyio import to_thread
from eventsourcing.persistence import EventStore, InfrastructureFactory
from fastapi import FastAPI

from adapters import schema
from adapters.agents_edits import EditableAgentsYaml
from adapters.event_json import PlainJsonMapper
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.kinds import KINDS
from commands.roster import ReviseRoster
from domain.access import Role
from domain.events import ActorKind
from gateway.app import create_app
from gateway.auth import needs
from gateway.bootstrap import Core, open_core
from gateway.logging import configure_logging
from gateway.routes.workflows import WorkflowRequest
from gateway.running import collect_rarely
from gateway.settings import Settings
from tests.bench.library import environment
from tests.bench.library_session import LibrarySession, NoOutcomes
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import envelope

CONNECTIONS = 32
SECONDS = 4.0
BARE = "/v1/bare"
COMMAND = "/v1/workflows"
BODY = json.dumps({"task": {"turns": ["Why is the sky blue?"]}}).encode()
ROSTER = Path("configs/agents.yaml")


@dataclass(frozen=True, slots=True)
class Served:
    """Where an app answers, and a token for it."""

    url: str
    token: str


def run(our_database: str, peer_database: str, library_database: str) -> Iterator[Result]:
    """Ours against either peer. The library's events have a database to themselves, beside the peer's tokens."""
    with ExitStack() as stack:
        ours = stack.enter_context(_served(our_database))
        library = stack.enter_context(_served(peer_database, library=library_database))
        command = partial(_posts, ours, COMMAND)
        parameters = {"connections": CONNECTIONS}
        yield measured("append_http", parameters, "commands/s", command, partial(_posts, ours, BARE), "bare route")
        yield measured(
            "append_http", parameters, "commands/s", command, partial(_posts, library, COMMAND), "eventsourcing"
        )


def _posts(served: Served, path: str) -> Timing:
    return asyncio.run(_post_on_all_connections(served, path))


async def _post_on_all_connections(served: Served, path: str) -> Timing:
    address = urlsplit(served.url)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {served.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    async def post() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while (began := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(f"{path} answered {head.decode()}")
            await reader.readexactly(_content_length(head))
            waits.append(1000 * (time.perf_counter() - began))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
    return Timing(len(waits) / (time.perf_counter() - began), waits)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


# --- the processes that serve


@contextmanager
def _served(database: str, library: str | None = None) -> Iterator[Served]:
    """`library`: the database of the library's recorder, where commands shall go to that."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=[database, library, theirs], daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(database: str, library: str | None, ready: Connection) -> None:
    collect_rarely()
    schema.upgrade(database)
    with TemporaryDirectory() as home, open_core(_settings(database, Path(home))) as opened:
        configure_logging("INFO", "bench", Path(home) / "bench.log")
        core = _on_the_library(opened, library) if library else opened
        core.bus.execute(ReviseRoster(ROSTER.read_text()), envelope())
        app = create_app(core)
        _add_bare_route(app)
        token = core.tokens.create("bench-peer" if library else "bench", Role.ADMIN, ActorKind.AUTOMATION, by="bench")
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False))
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_tell_when_ready(server, ready, token))


async def _tell_when_ready(server: uvicorn.Server, ready: Connection, token: str) -> None:
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    ready.send(Served(f"http://{host}:{port}", token))
    await serving


def _settings(database: str, home: Path) -> Settings:
    nowhere = "127.0.0.1:1"
    return Settings(
        database_url=database, nats_url=f"nats://{nowhere}", model_url=f"http://{nowhere}/v1", home=home, artifacts=home
    )


def _add_bare_route(app: FastAPI) -> None:
    @app.post(BARE, status_code=202, dependencies=needs(Role.OPERATOR))
    async def bare(body: WorkflowRequest) -> Mapping[str, Any]:
        return {"turns": len(body.task.turns)}

    app.router.routes.insert(0, app.router.routes.pop())  # found at once, as the command's route is


def _on_the_library(core: Core, database: str) -> Core:
    """The same commands, with sessions on the library's own recorder."""
    factory = InfrastructureFactory.construct(environment(database))
    events = EventStore(PlainJsonMapper(), factory.application_recorder())
    bus = CommandBus(
        handlers(KINDS, EditableAgentsYaml(), [core.settings.base_model]),
        lambda given: LibrarySession(events, given),
        NoOutcomes(),
    )
    return replace(core, bus=bus, execute=partial(to_thread.run_sync, bus.execute))
