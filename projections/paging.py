"""Reading rows: one, all, or a page at a time.

Pages are keyset pages: a cursor names the last row seen, so that they neither skip nor repeat a row while others are
added.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.sql import ColumnElement

from domain.errors import Invalid
from projections.projector import Row

LIMIT = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursor for those after them (None: these were the last)."""

    items: list[Row]
    next_cursor: str | None


def one(db: Connection, query: Select[Any]) -> Row | None:
    """The only row of `query`, or None."""
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def every(db: Connection, query: Select[Any]) -> list[Row]:
    """All rows of `query`."""
    return [dict(row) for row in db.execute(query).mappings()]


def tally(db: Connection, column: ColumnElement[str], *where: ColumnElement[bool]) -> dict[str, int]:
    """How many rows there are of each value of `column`."""
    query = select(column, func.count()).where(*where).group_by(column)
    return dict(db.execute(query).all())


def page(
    db: Connection,
    query: Select[Any],
    key: ColumnElement[int],
    cursor: str | None = None,
    limit: int = LIMIT,
    newest_first: bool = True,
) -> Page:
    """The rows of `query` after the cursor, in the order of `key`: a unique, never changing column of it.

    Raises Invalid for a cursor that is none of ours.
    """
    if cursor is not None:
        last = _decode(cursor)
        query = query.where(key < last if newest_first else key > last)
    query = query.order_by(key.desc() if newest_first else key.asc()).limit(limit + 1)
    found = every(db, query)
    items = found[:limit]
    more = len(found) > limit
    return Page(items, cursor_after(items[-1][key.key or ""]) if more else None)


def cursor_after(last: int) -> str:
    """For the rows after the one with that key."""
    return base64.urlsafe_b64encode(str(last).encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        last = int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
        if not 0 <= last < 2**63:
            raise ValueError("no position")
        return last
    except ValueError as error:
        raise Invalid("the cursor is none of ours; leave it out to start with the first page") from error
