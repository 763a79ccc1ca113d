"""/v1/datasets/{id}/export: a dataset in the files of other tools, written when it is asked for."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from domain.access import Role
from domain.dataset_recipe import TRAIN
from domain.errors import NotReady
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.requests import CoreOf, OpenView, Tag, found, reaching
from gateway.strict import StrictRoute
from projections import datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Datasets = Annotated[OpenView, reaching(datasets.PROJECTOR)]
KINDS = {
    "jsonl": ("application/jsonl", "jsonl"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "folder": ("application/zip", "zip"),
}
"""Media type and suffix of each format."""
FILES: Answers = {200: {"description": "The file", "content": {kind: {} for kind, _ in KINDS.values()}}}
FACTS = ("dataset_id", "as_of", "filter", "pairs", "annotated", "sha256")


@router.get("/{dataset_id}/export", response_class=FileResponse, responses=FILES | responses(404, 409, 503))
def export_dataset(
    dataset_id: UUID,
    open_view: Datasets,
    core: CoreOf,
    tag: Tag,
    format: Annotated[
        Literal["jsonl", "parquet", "folder"],
        Query(description="`folder`: a zip that `datasets.load_dataset` opens once it is unpacked, with a card"),
    ] = "folder",
    columns: Annotated[
        Literal["all", "trl"], Query(description="`trl`: prompt, chosen and rejected alone; TRL takes either")
    ] = "all",
) -> FileResponse:
    """A dataset for other tools: all its parts in a folder, or what is trained on in one file. The same dataset gives
    the same bytes."""
    with open_view() as view:
        dataset = found(datasets.find(view.db, dataset_id), "dataset", dataset_id)
    if not dataset["sha256"]:
        raise NotReady("the dataset is not built yet; try again in a moment")
    etag = tag.check(f"{dataset['sha256']}-{format}-{columns}")
    media_type, suffix = KINDS[format]
    facts = {name: dataset[name] for name in FACTS}
    others = [part["name"] for part in dataset["recipe"]["parts"]] if format == "folder" else []
    parts = {part: core.datasets.ensure(dataset_id, part) for part in (TRAIN, *others)}
    with core.export_turn():
        folder = Path(tempfile.mkdtemp(prefix=".export.", dir=parts[TRAIN].parent))
        output = folder / f"{dataset_id}.{suffix}"
        try:
            core.exporter.export(parts, facts, format, columns, output)
        except BaseException:
            shutil.rmtree(folder)
            raise
    return FileResponse(
        output,
        media_type=media_type,
        filename=output.name,
        headers={"ETag": etag},
        background=BackgroundTask(shutil.rmtree, folder),
    )
