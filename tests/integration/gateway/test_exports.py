"""Datasets over HTTP and from the command line in the files of other tools."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from domain.access import Role
from gateway.cli import app
from tests import story
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.serving import served

KEEPING: dict[str, Any] = {"duplicates": "keep", "contradictions": "keep"}


async def built(gateway: Gateway, wanted: dict[str, Any] = KEEPING) -> str:
    """The id of a dataset of the story's preferences."""
    gateway.tell(*story.preferences())
    async with gateway.client() as client:
        id: str = (await client.post("/v1/datasets", json=wanted)).json()["id"]
    gateway.core.dataset_file(UUID(id))
    gateway.catch_up()
    return id


def left_in(folder: Path) -> list[Path]:
    return list((folder / "artifacts" / "datasets").glob(".export.*"))


async def test_a_dataset_is_exported_in_every_format_and_left_nowhere(gateway: Gateway, tmp_path: Path) -> None:
    id = await built(gateway)
    rows = [json.loads(line) for line in gateway.core.dataset_file(UUID(id)).read_text().splitlines()]
    path = f"/v1/datasets/{id}/export"
    async with gateway.client(Role.VIEWER) as client:
        lines = await client.get(path, params={"format": "jsonl", "columns": "trl"})
        assert [json.loads(line) for line in lines.content.splitlines()] == [
            {name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows
        ]
        table = await client.get(path, params={"format": "parquet"})
        assert pq.read_table(io.BytesIO(table.content))["preference_id"].to_pylist() == [
            row["preference_id"] for row in rows
        ]
        folder = await client.get(path)
        assert folder.headers["content-type"] == "application/zip"
        assert f'filename="{id}.zip"' in folder.headers["content-disposition"]
        names = ZipFile(io.BytesIO(folder.content)).namelist()
        assert names == ["data/train-00000-of-00001.parquet", "README.md"]
        known = await client.get(path, headers={"If-None-Match": folder.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
    assert left_in(tmp_path) == []


async def test_what_is_not_built_or_cannot_be_built_again_is_not_exported(gateway: Gateway, tmp_path: Path) -> None:
    gateway.tell(story.dataset())
    async with gateway.client() as client:
        changed = await client.get(f"/v1/datasets/{story.id_of('dataset')}/export")
        assert (changed.status_code, changed.json()["type"]) == (409, "urn:caravan:problem:dataset-changed")
        id = (await client.post("/v1/datasets", json={})).json()["id"]
        gateway.catch_up()
        early = await client.get(f"/v1/datasets/{id}/export")
        assert (early.status_code, early.json()["type"]) == (409, "urn:caravan:problem:not-ready")
        assert (await client.get(f"/v1/datasets/{id}/export?format=csv")).status_code == 422


async def test_a_folder_holds_every_part_that_has_pairs_and_one_file_what_is_trained_on(gateway: Gateway) -> None:
    id = await built(gateway, {"parts": [{"name": "test", "percent": 50}], "duplicates": "keep"})
    async with gateway.client(Role.VIEWER) as client:
        folder = await client.get(f"/v1/datasets/{id}/export")
        lines = await client.get(f"/v1/datasets/{id}/export", params={"format": "jsonl"})
        files = (await client.get(f"/v1/datasets/{id}")).json()["contents"]["files"]
    zipped = ZipFile(io.BytesIO(folder.content))
    full, empty = sorted(files, key=lambda file: -int(file["pairs"]))  # they have one prompt
    assert zipped.namelist() == [f"data/{full['part']}-00000-of-00001.parquet", "README.md"]
    card = zipped.read("README.md").decode()
    assert all(f"| {file['part']} | {file['pairs']} |" in card for file in (full, empty))
    trained = gateway.core.dataset_file(UUID(id)).read_text().splitlines()
    assert len(lines.text.splitlines()) == len(trained)


async def test_the_command_line_writes_a_folder_or_a_file_and_overwrites_nothing(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await built(gateway)
    with served(gateway.app) as address:
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        monkeypatch.setenv("CARAVAN_TOKEN", gateway.tokens[Role.VIEWER])
        for format, output in (("folder", tmp_path / "made"), ("parquet", tmp_path / "made.parquet")):
            arguments = ["dataset", "export", id, str(output), "--format", format]
            assert CliRunner().invoke(app, arguments).exit_code == 0
            again = CliRunner().invoke(app, arguments)
            assert (again.exit_code, "is there already" in again.output) == (1, True)
    assert (tmp_path / "made" / "README.md").read_text().startswith("---\n")
    assert pq.read_table(tmp_path / "made.parquet").num_rows == 4
