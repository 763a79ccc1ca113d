"""The queue of an annotator: which pairs they should judge, what they can settle best first, and why."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, literal, or_, select, text, tuple_
from sqlalchemy.sql import ColumnElement

from domain.doubt import Support, reasons
from domain.errors import Invalid
from domain.opinion import Standing
from projections import rubrics
from projections.dpo_annotations import PROJECTOR, QUEUED, ROWS, TABLE
from projections.paging import LIMIT, Page, every
from projections.projector import Row

__all__ = ["NEEDED", "PROJECTOR", "SHOWN", "count", "queue"]

NEEDED = (PROJECTOR, rubrics.PROJECTOR)
"""The read models that it is made of."""

SHOWN = (
    *("preference_id", "state", "prompt", "chosen", "rejected", "method", "probability", "margin", "support"),
    *("run_id", "wanted", "urgency", "proposed_at", "proposed_position", "version", "position"),
)
"""Of a pair. What others said of it is not among them: until somebody has judged it, they should not know."""

Place = tuple[bool, float, int]
"""Whether it is assigned to the annotator, its urgency, and less its position when it was proposed: in descending
order."""


def queue(
    db: Connection, annotator: str, run_id: UUID | None = None, cursor: str | None = None, limit: int = LIMIT
) -> Page:
    """What that annotator is asked about: what is assigned to them first, then the most urgent, of equal ones the
    oldest. Each with `mine`, whether it is assigned to them, `judged`, how many have judged it, `wanted`, how many the
    rubric now wants, and `reasons`.

    A page that was begun goes on after the place of its last pair. One whose place changes meanwhile may come twice, or
    not before the queue is begun anew.
    """
    after = _decode(cursor) if cursor is not None else None
    place = tuple_(TABLE.c.urgency, -TABLE.c.proposed_position)
    judged = func.jsonb_array_length(TABLE.c.spoken_by).label("judged")
    columns = [ROWS.selected_columns[name] for name in (*SHOWN, "stale")]
    found: list[Row] = []
    for mine in (True, False):  # one after the other, since each can be read by an index in its order
        if after and after[0] < mine:
            continue
        query = _offered(ROWS.with_only_columns(*columns, literal(mine).label("mine"), judged), annotator, run_id, mine)
        if after and after[0] == mine:
            query = query.where(place < tuple_(*after[1:]))
        found += every(db, query.order_by(*(part.desc() for part in place)).limit(limit + 1 - len(found)))
    wanted = rubrics.current(db)["annotators"]
    items = [_entry(row | {"wanted": wanted}) for row in found[:limit]]
    return Page(items, _encode(found[limit - 1]) if len(found) > limit else None)


def count(db: Connection, annotator: str, run_id: UUID | None = None) -> int:
    """How many pairs are in it."""
    pairs = select(func.count()).select_from(TABLE)
    return sum(int(db.execute(_offered(pairs, annotator, run_id, mine)).scalar_one()) for mine in (True, False))


def _offered(query: Select[Any], annotator: str, run_id: UUID | None, mine: bool) -> Select[Any]:
    """Of the pairs in question those assigned to the annotator, and otherwise those of the others that they neither
    spoke of nor skipped."""
    assigned = _names(TABLE.c.assigned_to, annotator)
    done = or_(_names(TABLE.c.spoken_by, annotator), _names(TABLE.c.skipped_by, annotator))
    query = query.where(text(QUEUED), assigned if mine else ~or_(assigned, done))
    return query.where(TABLE.c.run_id == run_id) if run_id else query


def _names(column: ColumnElement[Any], annotator: str) -> ColumnElement[bool]:
    return column.has_key(annotator)  # type: ignore[no-any-return]  # that of jsonb


def _entry(row: Row) -> Row:
    support = Support(**row["support"]) if row["support"] else None
    state = Standing(row["state"])
    why = reasons(state, row["probability"], row["margin"], support, row["judged"], row["wanted"])
    return row | {"reasons": [*(["assigned to you"] if row["mine"] else []), *why]}


def _encode(row: Row) -> str:
    place = json.dumps([row["mine"], row["urgency"], -row["proposed_position"]])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _decode(cursor: str) -> Place:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        mine, urgency, position = place
        if mine not in (0, 1) or not 0 <= float(urgency) < 10 or not -(2**63) < int(position) <= 0:
            raise ValueError("no place")
        return bool(mine), float(urgency), int(position)
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid("the cursor is none of ours; leave it out to start with the first page") from error
