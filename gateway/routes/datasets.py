"""/v1/datasets: what training learns from, as of a position."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import AwareDatetime, Field

from commands.datasets import RequestDataset
from domain.access import Role
from domain.dataset_recipe import (
    MOST_PARTS,
    MOST_TASK_CHARACTERS,
    MOST_TASKS,
    TRAIN,
    Contradictions,
    Duplicates,
    Filter,
    Holdout,
    Part,
    Recipe,
)
from domain.errors import NotFound, NotReady
from domain.ports.events import Written
from domain.preference import Verdict
from gateway.auth import needs
from gateway.dataset_shapes import DatasetDiff, DatasetEntry
from gateway.errors import Answers, responses
from gateway.requests import (
    MAX_POSITION,
    Commands,
    CoreOf,
    Cursor,
    Limit,
    OpenView,
    Tag,
    View,
    found,
    reaching,
    viewing,
)
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import datasets
from projections.projector import Row

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Datasets = Annotated[View, viewing(datasets.PROJECTOR)]
DatasetsFirst = Annotated[OpenView, reaching(datasets.PROJECTOR)]
"""For who then makes files, which may take minutes."""
MEDIA_TYPE = "application/jsonl"
FILE: Answers = {200: {"description": "One pair a line, in TRL's columns", "content": {MEDIA_TYPE: {}}}}
MANIFEST: Answers = {200: {"description": "The manifest", "content": {"application/json": {}}}}
MOST_HOLDOUTS = 12 * MOST_TASK_CHARACTERS
"""Bytes: JSON may spell a character in as many, as two escapes where it is beyond the BMP."""
Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=100)]


class PairFilter(Body):
    """Which pairs to take; what is left out takes all. What was rejected or withdrawn is never taken."""

    min_weight: float = Field(default=0.0, ge=0, le=1)
    annotated_only: bool = Field(default=False, description="Leave out what nobody has settled")
    runs: tuple[UUID, ...] = Field(default=(), description="Only pairs of these runs")
    methods: Names = Field(default=(), description="Only of these rankings, e.g. bradley-terry/1")
    chosen_agents: Names = Field(default=(), description="Only where one of these wrote the chosen answer")
    rejected_agents: Names = Field(default=(), description="Only where one of these wrote the rejected answer")
    annotators: Names = Field(default=(), description="Only what one of these settled, as the last to speak")
    verdicts: tuple[Verdict, ...] = Field(default=(), description="Only what was settled so", max_length=3)
    since: AwareDatetime | None = Field(default=None, description="Only what was proposed from then on")
    until: AwareDatetime | None = Field(default=None, description="Only what was proposed before then")

    def filter(self) -> Filter:
        return Filter(**dict(self))


class PartIn(Body):
    """A part of its own, not to be trained on."""

    name: str = Field(examples=["test"])
    percent: float = Field(gt=0, lt=100, description="Of the prompts, by their hashes")


class HoldoutIn(Body):
    """The tasks of an evaluation."""

    name: str = Field(min_length=1, max_length=200, examples=["mt-bench"])
    tasks: tuple[str, ...] = Field(min_length=1, max_length=MOST_TASKS)
    drop: bool = Field(default=True, description="Leave out pairs that overlap with one; else they are only counted")


class DatasetRequest(Body):
    """The pairs as they stood at a position, or at a moment; as of now where neither is given."""

    position: int | None = Field(default=None, ge=0, le=MAX_POSITION)
    as_of: AwareDatetime | None = Field(default=None, description="As of the last position recorded up to then")
    filter: PairFilter = PairFilter()
    duplicates: Duplicates = Field(
        default=Duplicates.HEAVIEST, description="Of pairs that say the same: keep the heaviest, or all"
    )
    contradictions: Contradictions = Field(
        default=Contradictions.SETTLED,
        description="Of pairs that say the opposite: keep what an annotator settled last, all, or none",
    )
    parts: tuple[PartIn, ...] = Field(default=(), max_length=MOST_PARTS, description="What is left is to train on")
    salt: str = Field(default="", max_length=200, description="Another one draws the parts anew")
    holdouts: tuple[HoldoutIn, ...] = Field(default=(), max_length=20)

    def recipe(self) -> Recipe:
        return Recipe(
            duplicates=self.duplicates,
            contradictions=self.contradictions,
            parts=tuple(Part(part.name, part.percent) for part in self.parts),
            salt=self.salt,
            holdouts=tuple(Holdout(held.name, held.tasks, held.drop) for held in self.holdouts),
        )


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR))
async def request_dataset(body: DatasetRequest, command: Commands) -> Written:
    """Asks for a dataset. The same position, filter and recipe give the same bytes."""
    request = RequestDataset(body.filter.filter(), body.position, body.as_of, body.recipe())
    return await command(request, location="/v1/datasets/{id}")


@router.get("", response_model=page_of(DatasetEntry))
def list_datasets(view: Datasets, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """All datasets, the newest first."""
    return view.page(datasets.datasets(view.db, cursor, limit))


@router.get("/{dataset_id}", response_model=DatasetEntry, responses=responses(404))
def get_dataset(dataset_id: UUID, view: Datasets, tag: Tag) -> dict[str, Any]:
    """What a dataset was made from, and what is in it once it is built."""
    return tag.named(found(datasets.find(view.db, dataset_id), "dataset", dataset_id))


@router.get("/{dataset_id}/manifest", response_class=FileResponse, responses=MANIFEST | responses(404, 409, 503))
def get_manifest(dataset_id: UUID, open_view: DatasetsFirst, core: CoreOf, tag: Tag) -> FileResponse:
    """All that is known of a dataset, as a file to be kept beside it: position, filter, recipe, hashes, counts and
    lengths. Its ETag is its SHA-256."""
    dataset = _built(open_view, dataset_id)
    if not dataset["manifest_sha256"]:
        raise NotFound("manifest of dataset", dataset_id)
    headers = {"ETag": tag.check(dataset["manifest_sha256"])}
    return FileResponse(core.datasets.manifest(dataset_id), media_type="application/json", headers=headers)


@router.get("/{dataset_id}/diff", response_model=DatasetDiff, responses=responses(404, 409, 503))
def compare_datasets(
    dataset_id: UUID,
    open_view: DatasetsFirst,
    core: CoreOf,
    against: Annotated[UUID, Query(description="The dataset to compare it with")],
    cursor: Annotated[UUID | None, Query(description="`next` of the page before")] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """What became of each pair from the dataset `against` to this one."""
    was, now = (datasets.parts_of(_built(open_view, id)) for id in (against, dataset_id))
    found = core.pairs.differences(was, now, cursor, limit + 1)
    items = found[:limit]
    return {
        "against": against,
        "dataset": dataset_id,
        "counts": core.pairs.counts(was, now),
        "items": items,
        "next": items[-1].preference_id if len(found) > limit else None,
    }


@router.get("/{dataset_id}/download", response_class=FileResponse, responses=FILE | responses(404, 409, 503))
def download_dataset(
    dataset_id: UUID,
    open_view: DatasetsFirst,
    core: CoreOf,
    tag: Tag,
    format: Annotated[Literal["jsonl"], Query(description="JSON Lines")] = "jsonl",
    part: Annotated[str, Query(description="Which part; by default the one to train on")] = TRAIN,
) -> FileResponse:
    """The file itself; `datasets.load_dataset("json", data_files=...)` opens it. Its ETag is its SHA-256, which it has:
    a file that was lost or changed is written again from the events."""
    dataset = _built(open_view, dataset_id)
    headers = {"ETag": tag.check(_sha256(dataset, part))}
    file = core.datasets.ensure(dataset_id, part)
    return FileResponse(file, media_type=MEDIA_TYPE, filename=file.name, headers=headers)


def _built(open_view: OpenView, dataset_id: UUID) -> Row:
    with open_view() as view:
        dataset = found(datasets.find(view.db, dataset_id), "dataset", dataset_id)
    if not dataset["sha256"]:
        raise NotReady("the dataset is not built yet; try again in a moment")
    return dataset


def _sha256(dataset: Row, part: str) -> str:
    """That of the part's file. Raises NotFound for a part that there is not."""
    if part == TRAIN:
        return str(dataset["sha256"])
    files = dataset["contents"]["files"] if dataset["contents"] else ()
    hashes = [str(file["sha256"]) for file in files if file["part"] == part]
    if not hashes:
        raise NotFound(f"part {part!r} of dataset", dataset["dataset_id"])
    return hashes[0]
