"""An MCP server as tools need it: started when one is first used, and anew after it was lost or hung."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from loguru import logger
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CONNECTION_CLOSED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ClientRequest,
    PaginatedRequestParams,
    Tool,
)

from adapters.embedded.tether import tethered
from adapters.known_secrets import Hide
from adapters.tools.servers_file import ServerEntry, with_keys
from domain.ports.agents import ToolsUnavailable

START_SECONDS, STOP_SECONDS = 60.0, 10.0
"""A program may have to be fetched first (npx, uvx); one that does not end by itself is killed meanwhile."""
MOST_TOOLS = 200


class ToolFailed(Exception):
    """The tool did not do it; says why."""


class McpServer:
    """One server. A program that it is gets a minimal environment, without the worker's secrets, and ends with the
    worker, however that ends. It is to be used on one event loop."""

    def __init__(
        self, source: str, entry: ServerEntry, secrets: Mapping[str, str], logs: Path, hide: Hide = str
    ) -> None:
        """`source` is its name in agents.yaml; what it says on its standard error goes to a file of `logs`, and why it
        does not start is told as `hide` leaves it."""
        self._source = source
        self._entry = entry
        self._secrets = secrets
        self._hide = hide
        self._log = logs / f"tools-{source.replace(':', '-')}.log"
        self._life: _Life | None = None
        self._starting = asyncio.Lock()

    async def tools(self) -> Mapping[str, Tool]:
        """Its tools, by name. Raises ToolsUnavailable."""
        return (await self._alive()).tools

    async def call(self, tool: str, arguments: dict[str, Any], seconds: float) -> CallToolResult:
        """What it answers. Raises ToolFailed, after `seconds` at the latest, and ToolsUnavailable.

        A server that did not answer in time may be hung: it is stopped, and whoever waits for it too is told so.
        """
        life = await self._alive()
        asked = ClientRequest(CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments)))
        # Not by `call_tool`, which has the answer checked by a schema of the server's: that could take for ever.
        answer = asyncio.ensure_future(life.session.send_request(asked, CallToolResult))
        try:
            await asyncio.wait({answer, life.task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if life.task.done():
                raise ToolFailed(f"{self._source} ended before it answered; it is started again for the next call")
            life.end()
            raise ToolFailed(f"no answer within {seconds:g} s")
        except McpError as error:
            if error.error.code == CONNECTION_CLOSED:
                life.end()
            raise ToolFailed(f"{self._source}: {error}") from error
        except (ToolFailed, asyncio.CancelledError):
            raise
        except Exception as error:
            raise ToolFailed(f"{self._source}: {type(error).__name__}: {error}") from error
        finally:
            answer.cancel()

    async def close(self) -> None:
        """Stops it."""
        if self._life:
            self._life.end()
            await asyncio.wait({self._life.task}, timeout=STOP_SECONDS)

    async def _alive(self) -> _Life:
        async with self._starting:
            if self._life is None or self._life.over:
                life = _Life(self._session)
                try:
                    await asyncio.wait_for(asyncio.shield(life.ready), START_SECONDS)
                except Exception as error:
                    raise ToolsUnavailable(f"{self._source} does not start: {self._words(error)}") from error
                else:
                    self._life = life
                finally:
                    if self._life is not life:
                        life.task.cancel()  # it may be waiting for a program that says nothing
            return self._life

    def _words(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ToolsUnavailable):
            return str(error)
        if isinstance(error, TimeoutError):
            return f"it was not ready within {START_SECONDS:g} s"
        return self._hide(f"{type(error).__name__}: {error}") + (f"; see {self._log}" if self._entry.command else "")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[ClientSession]:
        async with AsyncExitStack() as stack:
            if self._entry.url:
                headers = with_keys(self._entry.headers, self._secrets)
                patience = httpx.Timeout(START_SECONDS, read=None)  # whoever asks waits no longer than it wants
                client = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=patience))
                http = streamable_http_client(self._entry.url, http_client=client)
                read, write, _ = await stack.enter_async_context(http)
            else:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(self._log.open("a"))
                read, write = await stack.enter_async_context(stdio_client(self._program(), errlog=log))
            session = await stack.enter_async_context(ClientSession(read, write))
            await session.initialize()
            yield session

    def _program(self) -> StdioServerParameters:
        command = shutil.which(self._entry.command or "")
        if command is None:
            raise ToolsUnavailable(f"there is no program {self._entry.command}")
        argv = tethered([command, *self._entry.args], signal.SIGKILL)
        env = with_keys(self._entry.env, self._secrets)
        return StdioServerParameters(command=argv[0], args=argv[1:], env=env, cwd=self._entry.cwd)


class _Life:
    """A server from its start to its end. `session` and `tools` are there once it is `ready`."""

    def __init__(self, open_session: Callable[[], AbstractAsyncContextManager[ClientSession]]) -> None:
        self.session: ClientSession
        self.tools: Mapping[str, Tool] = {}
        self.ready = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self.task = asyncio.create_task(self._live(open_session))

    @property
    def over(self) -> bool:
        return self._over.is_set() or self.task.done()

    def end(self) -> None:
        """A server elsewhere may be asked to end the session, and never answer."""
        self._over.set()
        asyncio.get_running_loop().call_later(STOP_SECONDS, self.task.cancel)

    async def _live(self, open_session: Callable[[], AbstractAsyncContextManager[ClientSession]]) -> None:
        """A session must be closed by the task that opened it, so this one holds it open."""
        try:
            async with open_session() as session:
                self.tools = {tool.name: tool for tool in await _all_tools(session)}
                self.session = session
                self.ready.set_result(None)
                await self._over.wait()
        except Exception as error:
            if self.ready.done():
                logger.warning("an MCP server was lost: {!r}", error)
            else:
                self.ready.set_exception(error)


async def _all_tools(session: ClientSession) -> list[Tool]:
    page = await session.list_tools()
    found = page.tools
    while page.nextCursor and len(found) < MOST_TOOLS:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=page.nextCursor))
        found = found + page.tools
    return found[:MOST_TOOLS]
