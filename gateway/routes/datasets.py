"""/v1/datasets: what training learns from, as of a position."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import Field

from commands.datasets import RequestDataset
from domain.access import Role
from domain.dataset import Filter
from domain.errors import NotReady
from domain.ports import Written
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.requests import MAX_POSITION, Commands, CoreOf, Cursor, Limit, Tag, View, found, viewing
from gateway.shapes import DatasetEntry, page_of
from gateway.strict import Body, StrictRoute
from projections import datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Datasets = Annotated[View, viewing(datasets.PROJECTOR)]
MEDIA_TYPE = "application/jsonl"
FILE: Answers = {200: {"description": "One pair a line, in TRL's columns", "content": {MEDIA_TYPE: {}}}}


class PairFilter(Body):
    """Which pairs to take. What was rejected or withdrawn is never taken."""

    min_weight: float = Field(default=0.0, ge=0, le=1)
    annotated_only: bool = Field(default=False, description="Leave out what nobody has settled")
    runs: tuple[UUID, ...] = Field(default=(), description="Only pairs of these runs; empty: of all")


class DatasetRequest(Body):
    """The pairs as they stood at a position."""

    position: int | None = Field(default=None, ge=0, le=MAX_POSITION, description="null: as of now")
    filter: PairFilter = PairFilter()


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR))
async def request_dataset(body: DatasetRequest, command: Commands) -> Written:
    """Asks for a dataset. The same position and filter give the same bytes."""
    wanted = body.filter
    request = RequestDataset(Filter(wanted.min_weight, wanted.annotated_only, wanted.runs), body.position)
    return await command(request, location="/v1/datasets/{id}")


@router.get("", response_model=page_of(DatasetEntry))
def list_datasets(view: Datasets, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """All datasets, the newest first."""
    return view.page(datasets.datasets(view.db, cursor, limit))


@router.get("/{dataset_id}", response_model=DatasetEntry, responses=responses(404))
def get_dataset(dataset_id: UUID, view: Datasets, tag: Tag) -> dict[str, Any]:
    """What a dataset was made from, and its hash once it is built."""
    dataset = found(datasets.find(view.db, dataset_id), "dataset", dataset_id)
    tag.name(dataset)
    return dataset


@router.get("/{dataset_id}/download", response_class=FileResponse, responses=FILE | responses(404, 409))
def download_dataset(
    dataset_id: UUID,
    view: Datasets,
    core: CoreOf,
    tag: Tag,
    format: Annotated[Literal["jsonl"], Query(description="JSON Lines")] = "jsonl",
) -> FileResponse:
    """The file itself; `datasets.load_dataset("json", data_files=...)` opens it. Its ETag is its SHA-256, which it has:
    a file that was lost or changed is written again from the events."""
    dataset = found(datasets.find(view.db, dataset_id), "dataset", dataset_id)
    if not dataset["sha256"]:
        raise NotReady("the dataset is not built yet; try again in a moment")
    headers = {"ETag": tag.check(dataset["sha256"])}
    return FileResponse(
        core.dataset_file(dataset_id), media_type=MEDIA_TYPE, filename=f"{dataset_id}.{format}", headers=headers
    )
