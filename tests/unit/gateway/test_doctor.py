"""`caravan doctor` tells what is wrong, above all where something is."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("CARAVAN_HOME", str(home))
    for variable in ("DATABASE_URL", "NATS_URL", "CARAVAN_MODEL_URL"):
        monkeypatch.delenv(variable, raising=False)
    return home


def findings() -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    return {finding["name"]: finding for finding in json.loads(result.stdout)}


def test_it_only_looks(home: Path) -> None:
    assert findings()["data folder"]["well"]
    assert not home.exists()


def test_a_data_folder_that_is_a_file_is_told_and_the_rest_too(home: Path) -> None:
    home.write_text("")
    found = findings()
    assert not found["data folder"]["well"]
    assert "CARAVAN_HOME" in found["data folder"]["cure"]
    assert found["Python"]["well"]


def test_what_keeps_it_from_looking_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARAVAN_AGENTS_FILE", str(tmp_path))
    assert findings()["agents"]["detail"] == f"{tmp_path}: Is a directory"


def test_settings_that_agents_depend_on_are_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers = tmp_path / "mcp.json"
    servers.write_text("{")
    monkeypatch.setenv("CARAVAN_MCP_SERVERS", str(servers))
    found = findings()["agents.yaml"]
    assert found["detail"].startswith(f"CARAVAN_MCP_SERVERS, {servers}: ")
    assert ".yaml" not in found["cure"]


def test_external_servers_that_do_not_answer_are_told_without_their_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/caravan")
    monkeypatch.setenv("NATS_URL", "nats://s3cret@127.0.0.1:1")
    found = findings()
    for name, variable in (("Postgres", "DATABASE_URL"), ("NATS", "NATS_URL")):
        assert not found[name]["well"]
        assert "127.0.0.1:1" in found[name]["detail"]
        assert variable in found[name]["cure"]
    assert "s3cret" not in json.dumps(found)


def test_ports_are_those_of_the_processes_that_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("CARAVAN_UI_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
        found = findings()
    assert not found["port of ui"]["well"]
    assert "port of nats" not in found


def test_a_model_server_that_is_named_is_asked_and_its_key_looked_for(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    entry = {"url": "http://127.0.0.1:1/v1", "kind": "vllm", "root": "/mnt/adapters"}
    monkeypatch.setenv("CARAVAN_REPLICAS", json.dumps([entry]))
    found = findings()["model server http://127.0.0.1:1/v1"]
    assert (found["well"], found["needed"]) == (False, False)

    monkeypatch.setenv("CARAVAN_REPLICAS", json.dumps([entry | {"key_env": "NOWHERE_API_KEY"}]))
    assert findings()["model server http://127.0.0.1:1/v1"]["cure"] == "export NOWHERE_API_KEY"
    assert not home.exists()


def test_a_key_that_no_header_takes_is_told_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = {"url": "http://127.0.0.1:1/v1", "kind": "embedded", "key_env": "GPU1_API_KEY"}
    monkeypatch.setenv("CARAVAN_REPLICAS", json.dumps([replica]))
    monkeypatch.setenv("GPU1_API_KEY", "s\x01cret")
    found = findings()["model server http://127.0.0.1:1/v1"]
    assert (found["well"], found["cure"]) == (False, "mend GPU1_API_KEY")
    assert "cret" not in found["detail"]
