"""A projector's rows in its table, many in one statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    JSON,
    Connection,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import ColumnElement

from projections.projector import Projector, Row

MOST_BYTES = 16 * 2**20
"""Of the rows in one statement, as JSON; PostgreSQL itself takes no value over 1 GB."""


def load(db: Connection, projector: Projector, keys: Collection[Any]) -> dict[Any, Row]:
    """The rows of these keys, by key, as far as there are any."""
    found = db.execute(_select(projector), {"keys": list(keys)})
    names = [str(column.name) for column in projector.table.columns]  # plain ones: into JSON, SQLAlchemy's take ages
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return {row[projector.primary_key.name]: row for row in rows}


def upsert(db: Connection, projector: Projector, rows: Sequence[Row]) -> None:
    """Writes rows, each in the place of the one with its key. Raises ValueError, and the database's errors, for values
    that the table cannot hold."""
    if not rows:
        return
    document = to_json(rows, inf_nan_mode="strings")
    if len(document) > MOST_BYTES and len(rows) > 1:
        half = len(rows) // 2
        upsert(db, projector, rows[:half])
        upsert(db, projector, rows[half:])
    else:
        db.execute(_upsert(projector), {"rows": document.decode()})


def remove(db: Connection, projector: Projector, keys: Collection[Any]) -> None:
    """Deletes the rows of these keys."""
    db.execute(delete(projector.table).where(_among(projector)), {"keys": list(keys)})


def _among(projector: Projector) -> ColumnElement[bool]:
    key = projector.primary_key
    return key == any_(bindparam("keys", type_=ARRAY(key.type)))


@lru_cache
def _select(projector: Projector) -> Select[Any]:
    return select(projector.table).where(_among(projector))


@lru_cache
def _upsert(projector: Projector) -> Insert:
    """PostgreSQL takes rows in as JSON faster than Python could spell their values out one by one."""
    table, key = projector.table, projector.primary_key.name
    columns = table.columns.keys()
    nothing: ColumnElement[Any] = literal_column(f"NULL::{projector.name}")
    given = func.json_populate_recordset(nothing, cast(bindparam("rows", type_=Text), JSON)).table_valued(*columns)
    statement = insert(table).from_select(columns, select(given))
    changed = {column: statement.excluded[column] for column in columns if column != key}
    return statement.on_conflict_do_update(index_elements=[key], set_=changed)
