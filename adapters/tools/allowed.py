"""Which tools agents.yaml may name: none that the operator has not allowed, and of CAMEL's own those without harm."""

from __future__ import annotations

from collections.abc import Collection, Mapping

TOOLKITS: Mapping[str, tuple[str, ...]] = {
    "math": ("math_add", "math_subtract", "math_multiply", "math_divide", "math_round"),
}
"""CAMEL's toolkits that need no network, no files, no key and no memory of earlier calls, and evaluate no expression
that a model writes. (SymPy's do: `sympify` runs Python.) An operator has any other as an MCP server."""
MCP = "mcp:"


class AllowedTools:
    """An allow-list. A tool is `SOURCE`, all tools of it, or `SOURCE/TOOL`; a source is a toolkit or `mcp:SERVER`."""

    def __init__(self, servers: Collection[str] = ()) -> None:
        """`servers`: the names of the MCP servers that the operator has listed."""
        self.sources = [*TOOLKITS, *(f"{MCP}{name}" for name in servers)]
        self._without_servers = "" if servers else "; an operator may list MCP servers in CARAVAN_MCP_SERVERS"

    def advice_on(self, name: str) -> str | None:
        """What to write instead; None where that tool is allowed. Which tools an MCP server has, only it knows."""
        source, slash, tool = name.partition("/")
        if source not in self.sources:
            listed = ", ".join(self.sources)
            return (
                f"{name!r} is no tool that agents may use; write one of {listed}, or one of its tools alone, "
                f"e.g. math/math_add{self._without_servers}"
            )
        if slash and not tool:
            return f"write the name of a tool after {name}, or {source} for all of them"
        if slash and tool not in (known := TOOLKITS.get(source, (tool,))):
            return f"{source} has no tool {tool!r}; it has {', '.join(known)}"
        return None
