"""What the console may do at NATS: keep its sessions, and nothing else, whoever has taken it over."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import nats as nats_client
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from adapters import kv
from adapters.console_account import SESSIONS
from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.ports import free_port
from adapters.kv import KeyValues
from tests.integration.processes import eventually

DEPLOYED = Path(__file__).parents[2] / "deploy" / "nats" / "caravan.conf"


@dataclass(frozen=True)
class Doors:
    ours: str
    consoles: str


@pytest.fixture(scope="module", params=["embedded", "deployed"])
def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Of a server as `caravan up` starts it, and as compose does."""
    folder = tmp_path_factory.mktemp("nats")
    if request.param == "embedded":
        with EmbeddedNats(folder / "nats", folder / "nats.log") as server:
            yield Doors(server.url, server.console_url)
        return
    port, words = free_port(), [secrets.token_hex(24) for _ in range(2)]
    environment = dict(os.environ) | {"NATS_TOKEN": words[0], "NATS_CONSOLE_PASSWORD": words[1]}
    program = EmbeddedNats(folder / "nats", folder / "nats.log").prepare().argv[0]
    here = {'"/data"': f'"{folder}"', "port: 4222": f"port: {port}", "http_port: 8222": ""}
    configured = DEPLOYED.read_text(encoding="utf-8")
    for elsewhere in here:
        configured = configured.replace(elsewhere, here[elsewhere])
    (folder / "nats.conf").write_text(configured)
    log = folder / "nats.log"
    server = subprocess.Popen([program, "-c", str(folder / "nats.conf"), "-l", str(log)], env=environment)
    eventually(lambda: log.exists() and "Server is ready" in log.read_text())
    yield Doors(f"nats://caravan:{words[0]}@127.0.0.1:{port}", f"nats://console:{words[1]}@127.0.0.1:{port}")
    server.terminate()
    server.wait(10)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS has all the time that it takes to answer."""
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 60.0)


@pytest.fixture
async def console(doors: Doors) -> AsyncIterator[Client]:
    async def refused(error: Exception) -> None:
        pass

    client = await nats_client.connect(doors.consoles, error_cb=refused)
    yield client
    await client.close()


def test_it_keeps_and_finds_its_sessions(doors: Doors):
    with closing(KeyValues(doors.consoles, SESSIONS)) as values:
        assert values.put("a", b"1")
        assert values.get("a") == b"1"
        assert values.delete("a")
        assert values.get("a") is None


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.KV_sessions",
        "$JS.API.STREAM.DELETE.KV_sessions",
        "$JS.API.STREAM.CREATE.EVENTS",
        "$JS.API.CONSUMER.CREATE.KV_sessions",
        "$JS.API.DIRECT.GET.KV_answers.$KV.answers.a",
        "$KV.answers.a",
        "events.workflow.requested",
        "jobs.maintenance.high",
        "appended.workflow.requested",
    ],
)
async def test_nothing_else_answers_it(console: Client, subject: str):
    with pytest.raises((NatsError, TimeoutError)):
        await console.request(subject, b"{}", timeout=0.3)


async def test_it_hears_nothing_of_ours(doors: Doors, console: Client):
    heard: list[str] = []

    async def hear(message: object) -> None:
        heard.append(str(message))

    for subject in (">", "events.>", "tokens.*", "$KV.>", "_INBOX.>"):
        await console.subscribe(subject, cb=hear)
    await console.flush()
    ours = await nats_client.connect(doors.ours)
    for subject in ("events.a", "tokens.a", "$KV.sessions.a", "_INBOX.a"):
        await ours.publish(subject, b"secret")
    await ours.flush()
    await ours.close()
    await console.flush()  # whatever was sent to it is here by now
    assert heard == []


async def test_what_it_keeps_is_out_of_sight_for_our_other_processes_too(doors: Doors):
    with closing(KeyValues(doors.consoles, SESSIONS)) as values:
        await values.keep("a", b"1")
        with closing(KeyValues(doors.ours, SESSIONS)) as other:
            assert await other.find("a") is None
