"""The tools of agents: what models are told of them, and how they are used."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult, TextContent, Tool

from adapters.known_secrets import Hide
from adapters.tools.allowed import MCP
from adapters.tools.arguments import arguments_in, check
from adapters.tools.mcp_server import McpServer, ToolFailed
from adapters.tools.servers_file import ServerEntry, sources
from domain.model_call import ToolCall
from domain.ports.agents import ToolsUnavailable, UsedTool
from domain.text import escape, excerpt

TOOL_SECONDS = 60.0
LONGEST_RESULT = 20_000
"""Characters. It is put before the model, and is kept for good."""
Schema = dict[str, Any]


class Toolbox:
    """What all tools come from. `servers` are those that the operator lists, `secrets` their keys by name; a use of a
    tool may take `seconds`, and what comes of it is as `hide` leaves it. Servers are shared by the agents of a worker,
    and start when they are needed."""

    def __init__(
        self,
        servers: Mapping[str, ServerEntry],
        secrets: Mapping[str, str],
        logs: Path,
        seconds: float = TOOL_SECONDS,
        hide: Hide = str,
    ) -> None:
        self._servers = {
            source: McpServer(source, entry, secrets, logs, hide) for source, entry in sources(servers).items()
        }
        self._seconds = seconds
        self._hide = hide

    def tools(self, names: Sequence[str]) -> AgentTools:
        """Those of an agent, by their names in agents.yaml. Raises ToolsUnavailable for one that is allowed no more."""
        wanted = []
        for name in names:
            source, _, tool = name.partition("/")
            if source not in self._servers:
                raise ToolsUnavailable(f"{source} is not among the servers of CARAVAN_MCP_SERVERS (any more)")
            wanted.append((source, self._servers[source], tool))
        return AgentTools(wanted, self._seconds, self._hide)

    async def close(self) -> None:
        """Stops the servers."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))


class AgentTools:
    """The tools of one agent: no other can be used by it, whatever its model asks for."""

    def __init__(self, wanted: Sequence[tuple[str, McpServer, str]], seconds: float, hide: Hide = str) -> None:
        """`wanted`: sources with the tool of each; an empty one stands for all."""
        self._wanted = wanted
        self._seconds = seconds
        self._hide = hide
        self._known: dict[str, tuple[McpServer, Tool]] = {}

    async def schemas(self) -> list[Schema]:
        """What the model is told of them, in the form of OpenAI's API. Raises ToolsUnavailable."""
        return [_schema(name, tool) for name, (_, tool) in (await self._found()).items()]

    async def use(self, wanted: ToolCall) -> UsedTool:
        """What came of it, bounded and fit to be recorded. Whatever goes wrong is its `error`."""
        began = time.monotonic()
        try:
            done = replace(wanted, result=_bounded(self._hide(await self._result(wanted))))
        except (ToolFailed, ToolsUnavailable) as failure:
            done = replace(wanted, error=excerpt(self._hide(str(failure))))
        return UsedTool(done, time.monotonic() - began)

    async def _result(self, wanted: ToolCall) -> str:
        known = await self._found()
        if wanted.name not in known:
            raise ToolFailed(f"there is no tool {wanted.name!r}; there is {', '.join(known)}")
        server, tool = known[wanted.name]
        arguments = arguments_in(wanted.arguments)
        check(arguments, tool.inputSchema)
        answer = await server.call(tool.name, arguments, self._seconds)
        if answer.isError:
            raise ToolFailed(_text(answer))
        return _text(answer)

    async def _found(self) -> Mapping[str, tuple[McpServer, Tool]]:
        if not self._known:
            known: dict[str, tuple[McpServer, Tool]] = {}
            for source, server, wanted in self._wanted:
                tools = await server.tools()
                if wanted and wanted not in tools:
                    raise ToolsUnavailable(f"{source} has no tool {wanted!r}; it has {', '.join(tools)}")
                for tool in [tools[wanted]] if wanted else tools.values():
                    name = name_for_models(source, tool.name)
                    if known.setdefault(name, (server, tool))[1] is not tool:
                        raise ToolsUnavailable(f"two tools would be called {name}; leave one of them out")
            self._known = known
        return self._known


NO_TOOLS = AgentTools((), TOOL_SECONDS)


def name_for_models(source: str, tool: str) -> str:
    """What models call it, as OpenAI's API allows it: `math_add`, and `SERVER__TOOL` of an MCP server."""
    whole = f"{source.removeprefix(MCP)}__{tool}" if source.startswith(MCP) else tool
    return as_models_write(whole)


def as_models_write(name: str) -> str:
    """The nearest name that OpenAI's API takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "_"


def _schema(name: str, tool: Tool) -> Schema:
    described = {"name": name, "description": tool.description or "", "parameters": tool.inputSchema}
    return {"type": "function", "function": described}


def _text(answer: CallToolResult) -> str:
    parts = [part.text if isinstance(part, TextContent) else f"({part.type}, not shown)" for part in answer.content]
    if not parts and answer.structuredContent is not None:
        return json.dumps(answer.structuredContent, ensure_ascii=False)
    return "\n".join(parts) or "(nothing)"


def _bounded(text: str) -> str:
    """A tool's words are as hostile as a model's."""
    if len(text) > LONGEST_RESULT:
        text = f"{text[:LONGEST_RESULT]}\n(cut off: the first {LONGEST_RESULT:,} of {len(text):,} characters)"
    return escape(text)
