"""Files of datasets that are made while somebody waits for them: no connection is held meanwhile, and few at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import QueuePool

from adapters.artifacts import DatasetFolder
from adapters.pair_index import PairIndex
from domain.access import Role
from gateway.bootstrap import DATASETS_AT_ONCE, EXPORTS_AT_ONCE
from tests import story
from tests.integration.gateway.conftest import Gateway

WAYS = ["download", "manifest", "export?format=jsonl", "diff?against={id}", "lineage"]


async def built(gateway: Gateway) -> str:
    gateway.tell(story.completed_run(), *story.preferences())
    async with gateway.client() as client:
        id: str = (await client.post("/v1/datasets", json={"duplicates": "keep", "contradictions": "keep"})).json()[
            "id"
        ]
    gateway.core.dataset_file(UUID(id))
    gateway.catch_up()
    return id


def address(id: str, way: str) -> str:
    if way == "lineage":
        return f"/v1/preferences/{story.id_of('waiting')}/lineage"
    return f"/v1/datasets/{id}/{way.format(id=id)}"


@pytest.mark.parametrize("way", WAYS)
async def test_no_connection_is_held_while_files_are_made_again(gateway: Gateway, way: str) -> None:
    id = await built(gateway)
    core, pool, held = gateway.core, gateway.core.engine.pool, []
    assert isinstance(pool, QueuePool)

    @contextmanager
    def turn() -> Iterator[None]:
        held.append(pool.checkedout())
        yield

    making = replace(core.datasets, turn=turn)
    pairs = PairIndex(DatasetFolder(core.settings.artifacts), making.ensure, turn)
    gateway.app.state.core = replace(core, datasets=making, pairs=pairs)
    core.datasets.files.path(UUID(id)).unlink()
    async with gateway.client(Role.VIEWER) as client:
        assert (await client.get(address(id, way))).status_code == 200
    assert held
    assert set(held) == {0}


@pytest.mark.parametrize("way", WAYS)
async def test_who_comes_when_enough_are_being_made_is_told_to_come_again(gateway: Gateway, way: str) -> None:
    id = await built(gateway)
    gateway.core.datasets.files.path(UUID(id)).unlink()
    turn = gateway.core.datasets.turn
    async with gateway.client(Role.VIEWER) as client:
        with turn(), turn():
            refused = await client.get(address(id, way))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["type"] == "urn:caravan:problem:too-much-at-once"
        assert refused.json()["detail"].startswith(f"{DATASETS_AT_ONCE} datasets' files are being written")
        assert (await client.get(address(id, way))).status_code == 200


async def test_exports_are_few_at_once_too(gateway: Gateway) -> None:
    id = await built(gateway)
    turn = gateway.core.export_turn
    async with gateway.client(Role.VIEWER) as client:
        with turn(), turn():
            refused = await client.get(f"/v1/datasets/{id}/export")
            assert (await client.get(f"/v1/datasets/{id}/download")).status_code == 200
        assert refused.json()["detail"].startswith(f"{EXPORTS_AT_ONCE} exports are being written")
        assert (await client.get(f"/v1/datasets/{id}/export")).status_code == 200


def test_workers_wait_for_nobodys_turn(gateway: Gateway) -> None:
    actor = gateway.core.datasets.actor
    with gateway.core.datasets.turn(), gateway.core.datasets.turn():
        assert gateway.core.datasets_of(actor).turn().__class__.__name__ == "nullcontext"
