"""What reads answer: each model is made from the read model's own table, so that the two cannot drift apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import Table

Item = TypeVar("Item")


class PageOf(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None = Field(description="The `cursor` of the page after this one; null: there is none")
    position: int = Field(description="The list knows everything up to this position of the log")


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of such items, for a model that is made at run time."""
    return PageOf[item]  # type: ignore[valid-type]


STALE = Field(description="An event about this could not be taken in, and what it says may be missing here")


def model_of(name: str, table: Table, json: Mapping[str, Any] = {}, **more: tuple[Any, Any]) -> type[BaseModel]:
    """The model of a table's rows. `json` says what its jsonb columns hold; `more` are fields beside the columns."""
    fields: dict[str, Any] = {**more, "stale": (bool, STALE)}
    for column in table.columns:
        kind = json.get(column.name, column.type.python_type)
        fields[column.name] = (kind | None if column.nullable else kind, ...)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
