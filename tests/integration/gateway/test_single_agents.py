"""Single agents over HTTP, and what revisions of agents.yaml changed: nothing but what was asked for."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import httpx

from domain.access import Role
from tests.integration.gateway.conftest import AGENTS, Gateway, put_agents

CRLF = AGENTS.replace("\n", "\r\n").encode()
YAML = {"Accept": "application/yaml"}
ADA = {
    "role": "computes",
    "system_message": "Compute.\nCarefully.\n",
    "model": {"platform": "embedded", "name": "tiny"},
}


async def text_of(admin: httpx.AsyncClient, gateway: Gateway) -> bytes:
    gateway.catch_up()
    return (await admin.get("/v1/agents", headers=YAML)).content


async def test_one_prompt_of_a_file_is_changed_and_no_other_byte(gateway: Gateway) -> None:
    async with gateway.client() as admin:
        assert (await admin.put("/v1/agents", content=CRLF)).status_code == 200
        gateway.catch_up()
        read = await admin.get("/v1/agents/teacher")
        assert read.headers["etag"] == '"1"'
        prompt = read.json()["system_message"].replace("twelve", "ten")
        params = {"reason": "for younger ones"}
        written = await admin.patch(
            "/v1/agents/teacher", json={"system_message": prompt}, params=params, headers={"If-Match": '"1"'}
        )
        assert (written.status_code, written.headers["etag"]) == (200, '"2"'), written.text
        assert await text_of(admin, gateway) == CRLF.replace(b"twelve-year-old", b"ten-year-old")
        [change, _] = (await admin.get("/v1/agents/teacher/history")).json()["items"]
    assert (change["reason"], change["changed"], change["author"]) == ("for younger ones", ["system_message"], "admin")


async def test_an_agent_comes_back_as_it_is_put_and_what_is_read_can_be_put_again(gateway: Gateway) -> None:
    async with gateway.client() as admin:
        await put_agents(admin)
        added = await admin.put("/v1/agents/ada", json=ADA, headers={"If-Match": '"1"'})
        assert added.status_code == 200, added.text
        text = await text_of(admin, gateway)
        assert text.startswith(AGENTS.encode()[: AGENTS.index("  # An agent on a capable")].rstrip())
        ada = (await admin.get("/v1/agents/ada")).json()
        assert ada["model"] == ADA["model"] | {"temperature": 0, "top_p": 1, "max_tokens": 256} | dict.fromkeys(
            ["url", "key_env", "seed"]
        )
        again = await admin.put("/v1/agents/ada", json=ada, headers={"If-Match": '"2"'})
        assert (again.status_code, again.json()["version"]) == (200, 2)
        assert (await admin.get("/v1/agents/ada", headers={"If-None-Match": '"2"'})).status_code == 304
        gone = await admin.delete("/v1/agents/ada", headers={"If-Match": "*"})
        assert gone.status_code == 200, gone.text
        assert await text_of(admin, gateway) == AGENTS.encode()
        assert (await admin.get("/v1/agents/ada")).status_code == 404


async def test_what_may_not_be_is_refused_and_nothing_changes(gateway: Gateway) -> None:
    async def refused(method: str, name: str, status: int, words: str, body: Any = None, tag: str = '"1"') -> None:
        headers = {"If-Match": tag} if tag else {}
        answer = await admin.request(method, f"/v1/agents/{name}", json=body, headers=headers)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text

    async with gateway.client() as admin:
        await refused("PUT", "ada", 404, "there is no", ADA)
        await put_agents(admin)
        head = gateway.core.store.head()
        await refused("PUT", "ada", 428, "If-Match", ADA, tag="")
        await refused("PUT", "ada", 412, "version 1, not 7", ADA, tag='"7"')
        await refused("PUT", "ada", 422, "an agent's name stays", ADA | {"name": "eve"})
        await refused("PUT", "Ada", 422, "name: write up to 48 of a-z", ADA)
        await refused("PUT", "ada", 422, "/api_key", ADA | {"api_key": "x"})
        await refused("PUT", "ada", 422, "/role", {"system_message": "x", "model": ADA["model"]})
        await refused("PUT", "ada", 422, "CARAVAN_MODEL_HOSTS", ADA | {"model": elsewhere("https://evil.example/v1")})
        await refused("PATCH", "teacher", 422, "model.temperature: ", {"model": {"temperature": 3}})
        await refused("PATCH", "teacher", 422, "this looks like a key", {"role": "sk-proj-" + "Ab3" * 14})
        await refused("PATCH", "nobody", 404, "there is no agent nobody", {"role": "x"})
        await refused("DELETE", "nobody", 404, "there is no agent nobody")
        assert gateway.core.store.head() == head
        for number, name in enumerate(["physicist", "teacher", "editor"], start=1):
            assert (await admin.delete(f"/v1/agents/{name}", headers={"If-Match": f'"{number}"'})).status_code == 200
        await refused("DELETE", "planner", 422, "planner is the last agent", tag='"4"')
    async with gateway.client(Role.OPERATOR) as operator:
        for method in ("PUT", "PATCH", "DELETE"):
            assert (await operator.request(method, "/v1/agents/planner", json={})).status_code == 403
        assert (await operator.post("/v1/agents/revisions/1/restore")).status_code == 403


def elsewhere(url: str) -> dict[str, str]:
    return {"platform": "openai-compatible-model", "name": "m", "url": url}


async def test_a_difference_is_a_patch_and_an_old_revision_can_be_restored(gateway: Gateway, tmp_path: Path) -> None:
    async with gateway.client() as admin:
        await admin.put("/v1/agents", content=CRLF)
        fields = {"role": "r", "adapter": None}
        await admin.patch("/v1/agents/teacher", json=fields, headers={"If-Match": '"1"'})
        await admin.put("/v1/agents/ada", json=ADA, headers={"If-Match": '"2"'})
        gateway.catch_up()
        difference = (await admin.get("/v1/agents/revisions/3/diff", params={"against": 1})).json()
        teacher, ada = difference["agents"]
        assert (teacher["name"], teacher["changed"]) == ("teacher", ["role", "adapter"])
        assert (ada["name"], ada["before"]) == ("ada", None)
        patch = await admin.get("/v1/agents/revisions/1/diff", params={"against": 3}, headers={"Accept": "text/x-diff"})
        assert patch.headers["content-type"].startswith("text/x-diff")
        file = tmp_path / "agents.yaml"
        file.write_bytes(await text_of(admin, gateway))
        await asyncio.to_thread(subprocess.run, ["patch", "--binary", "-s", str(file)], input=patch.content, check=True)
        assert file.read_bytes() == CRLF

        first = (await admin.get("/v1/agents/revisions/1/diff")).json()
        assert (first["against"], len(first["agents"]), first["agents"][0]["before"]) == (0, 4, None)
        assert (await admin.get("/v1/agents/revisions/9/diff")).status_code == 404
        assert (await admin.get("/v1/agents/revisions/1/diff", params={"against": 9})).status_code == 404

        path = "/v1/agents/revisions/1/restore"
        assert (await admin.post(path)).status_code == 428
        assert (await admin.post(path, headers={"If-Match": '"2"'})).status_code == 412
        restored = await admin.post(path, headers={"If-Match": '"3"'}, json={"reason": "it was better"})
        assert (restored.status_code, restored.json()["version"]) == (200, 4), restored.text
        assert await text_of(admin, gateway) == CRLF
        assert (await admin.get("/v1/agents")).json()["reason"] == "restores revision 1: it was better"
        assert (await admin.post("/v1/agents/revisions/7/restore", headers={"If-Match": '"4"'})).status_code == 404
