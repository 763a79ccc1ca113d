"""The operator's file of MCP servers, in the form that everybody uses, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.tools.servers_file import ServerEntry, read_servers, sources, with_keys
from domain.errors import Invalid
from domain.ports.agents import ToolsUnavailable

GOOD = {
    "files": {"type": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"KEY": "${FILES_API_KEY}"}},
    "web": {"url": "https://mcp.example.com/mcp", "headers": {"Authorization": "Bearer ${WEB_API_KEY}"}},
}


def read(tmp_path: Path, servers: object) -> dict[str, ServerEntry]:
    file = tmp_path / "mcp.json"
    file.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}))
    return read_servers(file)


def test_programs_and_servers_elsewhere_are_read(tmp_path: Path) -> None:
    servers = read(tmp_path, GOOD)
    assert (servers["files"].command, servers["files"].args) == ("npx", ("-y", "x"))
    assert servers["web"].url == "https://mcp.example.com/mcp"
    assert list(sources(servers)) == ["math", "mcp:files", "mcp:web"]
    assert read_servers(None) == {}


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        ("{", "mcp.json: the file: Invalid JSON"),
        ("{}", "mcpServers: Field required"),
        ({"a": {}}, "mcpServers.a: .*write either `command`"),
        ({"a": {"command": "x", "url": "http://x/"}}, "write either `command`"),
        ({"a": {"command": "x", "shell": True}}, "mcpServers.a.shell: Extra inputs"),
        ({"a b": {"command": "x"}}, "mcpServers.a b"),
        ({"a": {"url": "file:///etc/passwd"}}, "mcpServers.a.url"),
        ({"a": {"url": "http://user:pass@x/"}}, "mcpServers.a.url"),
        ({"a": {"command": "x", "env": {"K": "${CARAVAN_MODEL_KEY}"}}}, "ends in _API_KEY"),
        ({"a": {"command": "x", "env": {"K": "${HOME}"}}}, "ends in _API_KEY"),
        ({"a": {"url": "http://x/", "headers": {"Authorization": "Bearer s3"}}}, "write `.{ITS_API_KEY}` in Authoriz"),
        ({"a": {"command": "x", "env": {"FILES_TOKEN": "s3"}}}, "a key is never written here"),
        ({"a": {"command": "x", "env": {"K": "sk-proj-" + "Ab3" * 14}}}, "there is a key in it"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, servers: object, why: str) -> None:
    with pytest.raises(Invalid, match=f"CARAVAN_MCP_SERVERS, .*{why}") as refused:
        read(tmp_path, servers)
    assert "Ab3" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no\.json: .*No such file"):
        read_servers(tmp_path / "no.json")


def test_keys_are_put_in_from_what_the_operator_keeps() -> None:
    assert with_keys({"A": "Bearer ${WEB_API_KEY}!", "B": "plain"}, {"WEB_API_KEY": "k"}) == {
        "A": "Bearer k!",
        "B": "plain",
    }
    with pytest.raises(ToolsUnavailable, match="export WEB_API_KEY"):
        with_keys({"A": "${WEB_API_KEY}"}, {})


@pytest.mark.parametrize("key", ["sk-secret\n", "sk-secret\x00", "sk-sécret"])
def test_what_cannot_be_sent_as_a_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ToolsUnavailable, match="WEB_API_KEY is no key: it has a line break") as refused:
        with_keys({"A": "${WEB_API_KEY}"}, {"WEB_API_KEY": key})
    assert "sk-" not in str(refused.value)
