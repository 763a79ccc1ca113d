"""Datasets over HTTP: what is sent is what the events give, or nothing."""

from __future__ import annotations

import json
from hashlib import sha256
from uuid import UUID

import pytest

from domain.dataset_recipe import MOST_TASK_CHARACTERS
from tests import story
from tests.integration.gateway.conftest import Gateway


async def test_a_dataset_is_downloaded_once_it_is_built(gateway: Gateway) -> None:
    gateway.tell(*story.preferences())
    async with gateway.client() as client:
        asked = (await client.post("/v1/datasets", json={"filter": {"min_weight": 0.5}})).json()
        path = f"/v1/datasets/{asked['id']}/download"
        gateway.catch_up()
        early = await client.get(path)
        assert (early.status_code, early.json()["type"]) == (409, "urn:caravan:problem:not-ready")

        built = gateway.core.dataset_file(UUID(asked["id"]))
        gateway.catch_up()
        file = await client.get(path)
        assert (file.status_code, file.content) == (200, built.read_bytes())
        assert file.headers["etag"] == f'"{sha256(file.content).hexdigest()}"'
        assert file.headers["content-type"] == "application/jsonl"
        assert f'filename="{asked["id"]}.jsonl"' in file.headers["content-disposition"]
        known = await client.get(path, headers={"If-None-Match": file.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")


async def test_a_dataset_that_was_lost_or_changed_is_written_again_before_it_is_sent(gateway: Gateway) -> None:
    gateway.tell(*story.preferences())
    async with gateway.client() as client:
        asked = (await client.post("/v1/datasets", json={})).json()
        built = gateway.core.dataset_file(UUID(asked["id"]))
        gateway.catch_up()
        content = built.read_bytes()
        assert content
        for harm in (built.unlink, lambda: built.write_bytes(b"{}")):
            harm()
            file = await client.get(f"/v1/datasets/{asked['id']}/download")
            assert (file.status_code, file.content) == (200, content)


async def test_each_part_and_the_manifest_are_downloaded_by_their_hashes(gateway: Gateway) -> None:
    gateway.tell(*story.preferences())
    wanted = {"parts": [{"name": "test", "percent": 50}], "duplicates": "keep", "contradictions": "keep"}
    async with gateway.client() as client:
        asked = (await client.post("/v1/datasets", json=wanted)).json()
        gateway.core.dataset_file(UUID(asked["id"]))
        gateway.catch_up()
        address = f"/v1/datasets/{asked['id']}"
        dataset = (await client.get(address)).json()
        assert {file["part"]: file["pairs"] for file in dataset["contents"]["files"]} in (
            {"train": 4, "test": 0},
            {"train": 0, "test": 4},
        )
        for file in dataset["contents"]["files"]:
            part = await client.get(f"{address}/download?part={file['part']}")
            assert part.status_code == 200
            assert sha256(part.content).hexdigest() == file["sha256"]
        manifest = await client.get(f"{address}/manifest")
        assert sha256(manifest.content).hexdigest() == dataset["manifest_sha256"]
        assert manifest.json()["contents"] == dataset["contents"]
        assert (await client.get(f"{address}/download?part=validation")).status_code == 404


async def test_a_moment_is_kept_as_the_position_that_it_was(gateway: Gateway) -> None:
    gateway.tell(*story.preferences())
    (third,) = gateway.core.store.read(after=2, upto=3)
    async with gateway.client() as client:
        asked = (await client.post("/v1/datasets", json={"as_of": third.recorded_at.isoformat()})).json()
        gateway.catch_up()
        assert (await client.get(f"/v1/datasets/{asked['id']}")).json()["as_of"] == 3
        for impossible in ("2999-01-01T00:00:00Z", "2026-01-01T00:00:00"):
            assert (await client.post("/v1/datasets", json={"as_of": impossible})).status_code == 422


async def test_a_dataset_whose_events_give_other_bytes_now_is_not_sent(gateway: Gateway) -> None:
    gateway.tell(story.dataset())
    async with gateway.client() as client:
        refused = await client.get(f"/v1/datasets/{story.id_of('dataset')}/download")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:caravan:problem:dataset-changed")


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("character", ["漢", "🌦"], ids=["in the BMP", "beyond"])
async def test_holdouts_are_taken_up_to_their_limit_however_json_spells_them(
    gateway: Gateway, character: str, escaped: bool
) -> None:
    async with gateway.client() as client:
        for characters, status in ((MOST_TASK_CHARACTERS, 202), (MOST_TASK_CHARACTERS + 1, 422)):
            wanted = {"holdouts": [{"name": "exam", "tasks": [character * characters]}]}
            body = json.dumps(wanted, ensure_ascii=escaped).encode()
            asked = await client.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})
            assert asked.status_code == status
        assert (await client.post("/v1/datasets", content=b"x" * 14_000_000)).status_code == 413
