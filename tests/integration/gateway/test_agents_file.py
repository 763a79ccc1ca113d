"""An edit of agents.yaml by hand, while a gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import agents_file
from tests.eventually import eventually
from tests.integration.gateway.conftest import AGENTS, Gateway, opened, put_agents


@asynccontextmanager
async def watched(gateway: Gateway) -> AsyncIterator[None]:
    """The job that runs beside the app."""
    stop = asyncio.Event()
    job = asyncio.create_task(agents_file.watch_agents_file(gateway.core, stop))
    yield
    stop.set()
    await job


async def test_an_edit_by_hand_is_taken_in_or_told_with_its_line_and_a_revision_is_written_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def health() -> dict[str, Any]:
        answer: dict[str, Any] = (await admin.get("/health")).json()["agents_file"]
        return answer

    def state() -> str:
        standing = gateway.core.agents_file.standing
        return standing.state.value if standing else "none"

    def detail() -> str:
        standing = gateway.core.agents_file.standing
        return standing.detail if standing else ""

    monkeypatch.setattr(agents_file, "LOOK_SECONDS", 0.05)
    file = tmp_path / "agents.yaml"
    file.write_bytes(AGENTS.encode())
    with opened(database, tmp_path, agents_file=file, agents_sync="both") as gateway:
        async with gateway.client() as admin:
            await put_agents(admin)
            assert await health() is None
            async with watched(gateway):
                await eventually(lambda: state() == "agrees")
                file.write_bytes(AGENTS.replace("twelve", "ten").replace("\n", "\r\n").encode())
                await eventually(lambda: gateway.core.store.head() == 2)
                gateway.catch_up()
                current = (await admin.get("/v1/agents")).json()
                assert (current["author"], current["author_kind"]) == ("file:agents.yaml", "automation")
                assert current["reason"].startswith(f"edited by hand in {file}")
                assert current["text"].encode() == file.read_bytes()

                good = file.read_bytes()
                file.write_bytes(good.replace(b"platform: embedded", b"platform: embeded", 1))
                await eventually(lambda: state() == "invalid")
                told = await health()
                line = good[: good.index(b"platform: embedded\r")].count(b"\n") + 1
                assert f"revision 2 stays in force: line {line}, column 17 (agents.0.model.platform)" in told["detail"]
                assert (await admin.get("/health")).json()["status"] == "degraded"
                assert (await admin.get("/v1/agents")).headers["etag"] == '"2"'

                file.write_bytes(good)
                await eventually(lambda: state() == "agrees")
                changes = {"system_message": "Be brief."}
                patched = await admin.patch("/v1/agents/editor", json=changes, headers={"If-Match": '"2"'})
                assert patched.status_code == 200
                gateway.catch_up()
                await eventually(lambda: detail() == "it holds revision 3")
                assert b"Be brief." in file.read_bytes()
                assert file.read_bytes().startswith(good[: good.index(b"|\r\n      You are an editor")])
                assert await health() == {"path": str(file), "state": "agrees", "detail": "it holds revision 3"}


async def test_a_gateway_that_shall_not_watch_does_not(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path, agents_file=tmp_path / "agents.yaml", agents_sync="off") as gateway:
        async with watched(gateway):
            pass
        assert gateway.core.agents_file.standing is None
