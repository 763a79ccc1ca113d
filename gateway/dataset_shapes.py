"""What reads of datasets answer."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from domain.dataset_contents import Contents
from domain.dataset_diff import Change, PairChange
from domain.dataset_recipe import Contradictions, Duplicates, Filter, Part
from gateway.shapes import model_of
from projections import datasets


class HoldoutEntry(BaseModel):
    """The tasks of an evaluation with which the pairs were compared."""

    name: str
    tasks: int
    sha256: str
    drop: bool = Field(description="Whether pairs that overlap with one were left out")


class RecipeEntry(BaseModel):
    """How a dataset is made of the pairs."""

    builder: str
    duplicates: Duplicates
    contradictions: Contradictions
    parts: list[Part]
    salt: str
    holdouts: list[HoldoutEntry]


class DatasetDiff(BaseModel):
    """What differs from one dataset to another, pair by pair."""

    against: UUID
    dataset: UUID
    counts: dict[Change, int] = Field(description="Of all pairs that differ, on this page or not")
    items: list[PairChange] = Field(description="In the order of their ids")
    next: UUID | None = Field(description="The `cursor` of the page after this one; null: there is none")


DatasetEntry = model_of("Dataset", datasets.TABLE, {"filter": Filter, "recipe": RecipeEntry, "contents": Contents})
