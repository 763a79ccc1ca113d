"""Datasets over HTTP: what is sent is what the events give, or nothing."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

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


async def test_a_dataset_whose_events_give_other_bytes_now_is_not_sent(gateway: Gateway) -> None:
    gateway.tell(story.dataset())
    async with gateway.client() as client:
        refused = await client.get(f"/v1/datasets/{story.id_of('dataset')}/download")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:caravan:problem:dataset-changed")
