"""An MCP server for tests, as people write them: `python -m tests.integration.mcp_of_tests`, or with a port over HTTP.

What it was asked is in the file that USES names, a line each, so that a test sees what was done and how often.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mcp.server.fastmcp import FastMCP

server = FastMCP("of-tests", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000, log_level="ERROR")


def _note(what: str) -> None:
    if file := os.environ.get("USES"):
        with Path(file).open("a") as uses:
            uses.write(f"{what}\n")


@server.tool()
def echo(text: str, times: int = 1) -> str:
    """Says it back, so many times."""
    _note(f"echo {text}")
    return text * times


@server.tool()
def sleep(seconds: float) -> str:
    """Blocks the whole server for so long."""
    _note(f"sleep {seconds} begins in {os.getpid()}")
    time.sleep(seconds)
    _note(f"sleep {seconds} ends")
    return "slept"


@server.tool()
def fail() -> str:
    """Raises an error."""
    raise ValueError("it broke\x00")


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(1)


@server.tool()
def variables() -> list[str]:
    """The names of all environment variables that it was given."""
    return sorted(os.environ)


if __name__ == "__main__":
    server.run("streamable-http" if len(sys.argv) > 1 else "stdio")
