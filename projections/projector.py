"""A projector: a table and the pure fold that keeps it. The engine does the reading, the writing and the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy import Column, MetaData, Table

from domain.events import Recorded

Row = dict[str, Any]
Fold = Callable[[Row | None, Recorded], Row | None]


@dataclass(frozen=True, slots=True, eq=False)
class Projector:
    """Folds the events of `topics` into the rows of `table`. `key` says which row an event belongs to; `fold` gives
    that row after the event, from the row before it (None: there is none). Both are pure. `inserts_only`: each event
    makes a row of its own, which nothing changes."""

    table: Table
    topics: tuple[str, ...]
    key: Callable[[Recorded], Any]
    fold: Fold
    inserts_only: bool = False

    @property
    def name(self) -> str:
        """That of its table, with the schema where that is another than the one in use."""
        return self.table.fullname

    def in_schema(self, schema: str) -> Projector:
        """The same into a table of its own, with a checkpoint of its own."""
        return replace(self, table=self.table.to_metadata(MetaData(), schema=schema))

    @property
    def primary_key(self) -> Column[Any]:
        """One column; the engine loads rows by it."""
        (column,) = self.table.primary_key.columns
        return column


def aggregate_id(recorded: Recorded) -> UUID:
    """The key of a table with one row an aggregate."""
    return recorded.event.originator_id


def stamp(recorded: Recorded) -> Row:
    """What an event leaves in its aggregate's row, whatever else it says."""
    return {"version": recorded.event.originator_version, "position": recorded.position}


def origin(recorded: Recorded) -> Row:
    """Who asked for an aggregate, and in what context."""
    envelope = recorded.envelope
    return {"actor": envelope.actor.subject, "correlation_id": envelope.correlation_id}


def plain(value: Any) -> Any:
    """A value of the domain as a jsonb column gives it back, so that a row looks the same before and after storage."""
    return to_jsonable_python(value)
