"""The file of MCP servers that an operator lists, CARAVAN_MCP_SERVERS, in its customary form:

    {"mcpServers": {"files": {"command": "npx", "args": ["..."], "env": {"FILES_KEY": "${FILES_API_KEY}"}},
                    "search": {"url": "https://mcp.example.com/mcp", "headers": {"X-Key": "${SEARCH_API_KEY}"}}}}

Keys are named there, never written: `${NAME}` in a value of `env` or `headers` stands for what the environment, or the
file of that name in CARAVAN_SECRETS_DIR, holds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from adapters.tools.allowed import MCP, TOOLKITS
from adapters.written_keys import key_in, may_hold_key
from domain.errors import Invalid
from domain.ports.agents import ToolsUnavailable

_NAMED = re.compile(r"\$\{([^}]*)\}")
_HOLDS_A_KEY = re.compile(r"authorization|cookie|(key|token|secret|password)$", re.IGNORECASE)
"""Names of variables and headers."""

ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,48}$")]


class ServerEntry(BaseModel):
    """One server: a program that speaks MCP on its standard input and output, or the URL of one that runs elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["stdio", "http", "streamable-http"] | None = None
    command: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://[^/\s@]+(/\S*)?$")
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("write either `command`, for a program, or `url`, for a server that runs elsewhere")
        for value in (*self.env.values(), *self.headers.values()):
            for name in _NAMED.findall(value):
                if not may_hold_key(name):
                    raise ValueError(
                        f"${{{name}}} cannot be put in: name a variable that ends in _API_KEY and does not begin with "
                        "CARAVAN_"
                    )
        for name, value in (*self.env.items(), *self.headers.items()):
            if _HOLDS_A_KEY.search(name) and not _NAMED.search(value):
                raise ValueError(f"a key is never written here: write `${{ITS_API_KEY}}` in {name}, and export that")
        return self


class _File(BaseModel):
    mcpServers: dict[ServerName, ServerEntry]  # noqa: N815 - as everybody spells it


def read_servers(file: Path | None) -> dict[str, ServerEntry]:
    """By name; none without a file. Raises Invalid, with what to write, for what is no such file."""
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        if key_in(text):
            raise Invalid("there is a key in it: put it into a variable, and write ${ITS_API_KEY} instead")
        return _File.model_validate_json(text).mcpServers
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Invalid(f"CARAVAN_MCP_SERVERS, {file}: {place or 'the file'}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError, Invalid) as error:
        raise Invalid(f"CARAVAN_MCP_SERVERS, {file}: {error}") from error


def sources(servers: Mapping[str, ServerEntry]) -> dict[str, ServerEntry]:
    """All that tools come from, by the names that agents.yaml gives. A toolkit of CAMEL is a server too: no tool runs
    within a worker, which it could hold up for ever (`math_round(5, -10**9)` once did)."""
    return {
        **{toolkit: _toolkit(toolkit) for toolkit in TOOLKITS},
        **{f"{MCP}{name}": entry for name, entry in servers.items()},
    }


def with_keys(values: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """The values, with keys in place of their names. Raises ToolsUnavailable for one that is not set, or is no key:
    whoever refused to send it would tell everybody what it is."""

    def key(named: re.Match[str]) -> str:
        if not (found := secrets.get(named[1])):
            raise ToolsUnavailable(
                f"it needs a key: export {named[1]} before the worker starts, or put it into a file of that name in "
                "CARAVAN_SECRETS_DIR"
            )
        if not (found.isascii() and found.isprintable()):
            raise ToolsUnavailable(f"{named[1]} is no key: it has a line break, or what no key is made of, in it")
        return found

    return {name: _NAMED.sub(key, value) for name, value in values.items()}


def _toolkit(name: str) -> ServerEntry:
    kind = f"{name.capitalize()}Toolkit"
    program = f"from camel.toolkits import {kind}; {kind}().run_mcp_server('stdio')"
    return ServerEntry(command=sys.executable, args=("-I", "-c", program))
