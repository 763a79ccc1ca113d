"""Tools in real MCP servers: CAMEL's MathToolkit, and one of our own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from adapters.known_secrets import KnownSecrets
from adapters.tools import mcp_server
from adapters.tools.allowed import TOOLKITS
from adapters.tools.servers_file import ServerEntry
from adapters.tools.toolbox import LONGEST_RESULT, AgentTools, Toolbox
from domain.model_call import ToolCall
from domain.ports.agents import ToolsUnavailable
from domain.text import is_storable
from tests.eventually import eventually

PROGRAM = ("-m", "tests.integration.mcp_of_tests")
ROOT = str(Path(__file__).parents[2])


def entry(uses: Path, **more: str) -> ServerEntry:
    env = {"PYTHONPATH": ROOT, "USES": str(uses), **more}
    return ServerEntry(command=sys.executable, args=PROGRAM, env=env)


@pytest.fixture
def uses(tmp_path: Path) -> Path:
    return tmp_path / "uses"


@pytest_asyncio.fixture
async def toolbox(tmp_path: Path, uses: Path) -> AsyncIterator[Toolbox]:
    servers = {
        "t": entry(uses, TOKEN="Bearer ${SOME_API_KEY}"),
        "absent": ServerEntry(command="no-such-program"),
        "broken": ServerEntry(command=sys.executable, args=("-c", "raise SystemExit('no licence')")),
        "keyless": entry(uses, TOKEN="${OTHER_API_KEY}"),
    }
    box = Toolbox(servers, {"SOME_API_KEY": "s"}, tmp_path / "logs", seconds=5)
    yield box
    await box.close()


async def use(tools: AgentTools, name: str, arguments: object = "{}") -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return (await tools.use(ToolCall(name, text, id="c"))).call


def noted(uses: Path) -> str:
    """What the server was asked."""
    return uses.read_text() if uses.exists() else ""


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """Another Python."""
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | {"PYTHONPATH": ROOT})


def processes() -> list[psutil.Process]:
    """The servers that run now, as children of this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has just ended, and a zombie, which is one too
            if PROGRAM[1] in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_camels_mathematics_is_told_and_done(toolbox: Toolbox) -> None:
    tools = toolbox.tools(["math"])
    schemas = await tools.schemas()
    assert tuple(schema["function"]["name"] for schema in schemas) == TOOLKITS["math"]
    assert schemas[0]["function"]["parameters"]["required"] == ["a", "b"]
    used = await tools.use(ToolCall("math_add", '{"a": 1.5, "b": 2}', id="c"))
    assert used.call == ToolCall("math_add", '{"a": 1.5, "b": 2}', "3.5", id="c")
    assert used.seconds > 0
    assert (await use(tools, "math_divide", {"a": 1, "b": 0})).error
    assert (await use(tools, "math_add", {"a": 1, "b": 2})).result == "3.0"


async def test_an_agent_uses_the_tools_of_its_list_and_no_other(toolbox: Toolbox, uses: Path) -> None:
    tools = toolbox.tools(["math/math_add", "mcp:t/echo"])
    assert [schema["function"]["name"] for schema in await tools.schemas()] == ["math_add", "t__echo"]
    assert (await use(tools, "t__echo", {"text": "a", "times": 3})).result == "aaa"
    for other in ("math_divide", "t__sleep", "echo", "", "__class__"):
        call = await use(tools, other, {"seconds": 0})
        assert call.error == f"there is no tool {other!r}; there is math_add, t__echo"
    assert noted(uses) == "echo a\n"


HOSTILE = [
    ("{", "no JSON"),
    ("[1]", "must be a JSON object"),
    ('{"text": NaN}', "NaN is no number"),
    ('{"text": "\\ud800"}', "no JSON: 'utf-8' codec"),
    ("[" * 100_000, "no JSON"),
    ('{"text": 1}', "$.text: 1 is not of type 'string'"),
    ("{}", "'text' is a required property"),
    ('{"text": "a", "times": 1.5}', "is not of type 'integer'"),
    ('{"text": "a", "times": 1e400}', "no JSON: Out of range"),
    ('{"text": "' + "x" * 200_000 + '"}', "200012 characters"),
]


async def test_hostile_arguments_never_reach_the_tool(toolbox: Toolbox, uses: Path) -> None:
    tools = toolbox.tools(["mcp:t"])
    for arguments, why in HOSTILE:
        assert why in ((await use(tools, "t__echo", arguments)).error or "")
    assert noted(uses) == ""


async def test_results_are_bounded_and_fit_to_be_recorded(toolbox: Toolbox) -> None:
    tools = toolbox.tools(["mcp:t"])
    long = await use(tools, "t__echo", {"text": "ab", "times": LONGEST_RESULT})
    assert long.result.endswith("(cut off: the first 20,000 of 40,000 characters)")
    assert len(long.result) < LONGEST_RESULT + 100
    odd = await use(tools, "t__echo", {"text": "a\x00b"})
    failed = await use(tools, "t__fail")
    assert odd.result == "a␛0000b"
    assert is_storable(failed.error or "")
    assert "it broke" in (failed.error or "")
    assert failed.told.startswith("Error: ")


async def test_a_server_is_given_its_key_and_nothing_else_that_the_worker_has(
    toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_MODEL_KEY", "a secret")
    monkeypatch.setenv("SOME_API_KEY", "another")
    given = (await use(toolbox.tools(["mcp:t"]), "t__variables")).result
    assert "TOKEN" in given
    assert "CARAVAN" not in given
    assert "API_KEY" not in given


async def test_a_key_that_a_tool_repeats_is_not_recorded(tmp_path: Path, uses: Path) -> None:
    key = "internal-Zx81-0042"
    box = Toolbox({"t": entry(uses)}, {}, tmp_path, seconds=5, hide=KnownSecrets([key]).hide)
    tools = box.tools(["mcp:t"])
    assert (await use(tools, "t__echo", {"text": f"key {key}"})).result == "key ***"
    assert (await use(tools, f"t__{key}")).error.startswith("there is no tool 't__***'")
    await box.close()


async def test_a_tool_that_hangs_is_given_up_and_its_server_started_anew(tmp_path: Path, uses: Path) -> None:
    box = Toolbox({"t": entry(uses)}, {}, tmp_path, seconds=5)
    tools = box.tools(["mcp:t"])
    await tools.schemas()
    (hung,) = processes()
    assert (await use(tools, "t__sleep", {"seconds": 600})).error == "no answer within 5 s"
    assert (await use(tools, "t__echo", {"text": "again"})).result == "again"
    await eventually(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE)
    await box.close()
    await eventually(lambda: not processes())


async def test_a_server_that_dies_is_started_anew_for_the_next_call(toolbox: Toolbox) -> None:
    tools = toolbox.tools(["mcp:t"])
    assert (await use(tools, "t__die")).error
    assert (await use(tools, "t__echo", {"text": "again"})).result == "again"
    (idle,) = processes()
    idle.kill()
    await eventually(lambda: not processes())
    for _ in range(2):
        last = await use(tools, "t__echo", {"text": "once more"})
    assert last.result == "once more"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mcp:absent", "mcp:absent does not start: there is no program no-such-program"),
        ("mcp:broken", "mcp:broken does not start: .*; see .*tools-mcp-broken.log"),
        ("mcp:keyless", "it needs a key: export OTHER_API_KEY"),
        ("mcp:t/fly", "mcp:t has no tool 'fly'; it has echo, sleep, fail"),
    ],
)
async def test_what_cannot_be_had_is_named_with_its_reason(toolbox: Toolbox, name: str, why: str) -> None:
    tools = toolbox.tools([name])
    with pytest.raises(ToolsUnavailable, match=why):
        await tools.schemas()
    assert (await use(tools, "t__fly")).error


async def test_a_program_that_says_nothing_is_given_up_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_server, "START_SECONDS", 0.5)
    mute = ServerEntry(command=sys.executable, args=("-c", f"import time; time.sleep(600)  # {PROGRAM[1]}"))
    box = Toolbox({"mute": mute}, {}, tmp_path)
    with pytest.raises(ToolsUnavailable, match=r"mcp:mute does not start: it was not ready within 0\.5 s"):
        await box.tools(["mcp:mute"]).schemas()
    await eventually(lambda: not processes())


class Hangs:
    """A server elsewhere that starts, and then answers neither a call nor the end of a session."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            length = re.search(r"content-length: (\d+)", head)
            asked = json.loads(await reader.readexactly(int(length[1]))) if length else {}
            result: object = {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
            if asked.get("method") == "initialize":
                about = {"name": "h", "version": "1"}
                version = asked["params"]["protocolVersion"]
                result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
            elif asked.get("method") not in ("tools/list", "notifications/initialized"):
                await asyncio.Event().wait()
            body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}).encode()
            status = b"200 OK" if "id" in asked else b"202 Accepted"
            kind = b"content-type: application/json\r\nmcp-session-id: s\r\n"
            writer.write(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body))


async def test_a_server_elsewhere_that_never_lets_go_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_server, "STOP_SECONDS", 0.2)
    async with await asyncio.start_server(Hangs().answer, "127.0.0.1", 0) as server:
        url = "http://{}:{}/mcp".format(*server.sockets[0].getsockname())
        box = Toolbox({"far": ServerEntry(url=url)}, {}, tmp_path, seconds=0.5)
        assert (await use(box.tools(["mcp:far"]), "far__t")).error == "no answer within 0.5 s"
        await eventually(lambda: not any("_Life" in repr(task) for task in asyncio.all_tasks()))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def test_a_server_that_is_listed_no_more_is_refused(toolbox: Toolbox) -> None:
    with pytest.raises(ToolsUnavailable, match="mcp:gone is not among the servers"):
        toolbox.tools(["mcp:gone"])


async def test_a_server_may_run_elsewhere(tmp_path: Path, uses: Path, elsewhere: str) -> None:
    box = Toolbox({"far": ServerEntry(url=elsewhere)}, {}, tmp_path, seconds=10)
    assert await use(box.tools(["mcp:far/echo"]), "far__echo", {"text": "hi"}) == ToolCall(
        "far__echo", '{"text": "hi"}', "hi", id="c"
    )
    await box.close()


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest_asyncio.fixture
async def elsewhere() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = started(*PROGRAM, str(port))
    await eventually(lambda: answers(port))
    yield f"http://127.0.0.1:{port}/mcp"
    program.kill()
    program.wait()


WORKER = """
import asyncio, sys
from pathlib import Path
from adapters.tools.servers_file import ServerEntry
from adapters.tools.toolbox import Toolbox
from domain.model_call import ToolCall
async def main():
    env = {"PYTHONPATH": sys.argv[1], "USES": sys.argv[2]}
    entry = ServerEntry(command=sys.executable, args=("-m", "tests.integration.mcp_of_tests"), env=env)
    tools = Toolbox({"t": entry}, {}, Path(sys.argv[2]).parent).tools(["mcp:t"])
    await tools.use(ToolCall("t__sleep", '{"seconds": 600}'))
asyncio.run(main())
"""


async def test_a_killed_worker_leaves_no_server_behind(uses: Path) -> None:
    worker = started("-c", WORKER, ROOT, str(uses))
    await eventually(lambda: "begins in" in noted(uses))
    server = psutil.Process(int(noted(uses).split()[-1]))
    worker.kill()
    worker.wait()
    await eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
