"""Which events led to one, and which ones it led to, by way of events and of commands.

An envelope names the event or the command that its own command followed from. A cause lies before its effects in the
log, and so no walk goes round in circles, whatever an envelope says.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal, select, true, union_all

from projections.audit import TABLE, planned_for_these_values
from projections.paging import LIMIT, every
from projections.projector import Row

DEPTH = 100
"""Steps that a walk takes at most."""
MOST = 10_000
"""Effects that are looked for at most; the nearest ones."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Some of them, in order; whether there are `more` after these, and whether so many that some were not looked
    for (`cut`)."""

    items: list[Row]
    more: bool
    cut: bool


def causes(db: Connection, position: int) -> list[Row]:
    """The event itself and what led to it, step by step back to its root: `position` and `depth`, 0 for itself. Where
    a command led there, all its events did; they are looked for in the same correlation."""
    planned_for_these_values(db)
    wanted = ("position", "causation_id", "correlation_id")
    itself = select(*TABLE.c[wanted], literal(0).label("depth")).where(TABLE.c.position == position)
    walked = itself.cte("walked", recursive=True)
    cause, commanded = TABLE.alias("cause"), TABLE.alias("commanded")
    by_event = select(*cause.c[wanted]).where(cause.c.event_id == walked.c.causation_id)
    by_command = select(*commanded.c[wanted]).where(
        commanded.c.correlation_id == walked.c.correlation_id, commanded.c.command_id == walked.c.causation_id
    )
    led = union_all(by_event, by_command.where(~by_event.correlate(walked).exists())).lateral("led")
    back = select(*led.c, walked.c.depth + 1).join_from(walked, led, true())
    walked = walked.union(
        back.where(walked.c.causation_id.is_not(None), led.c.position < walked.c.position, walked.c.depth < DEPTH)
    )
    return every(db, select(walked.c.position, walked.c.depth).order_by(walked.c.depth, walked.c.position))


def effects(db: Connection, position: int, after: int = 0, limit: int = LIMIT) -> Effects:
    """What the event led to after that position, directly or by way of others: `position` and `depth`, from 1 on."""
    planned_for_these_values(db)
    wanted = ("position", "event_id", "command_id")
    itself = select(*TABLE.c[wanted], literal(0).label("depth")).where(TABLE.c.position == position)
    walked = itself.cte("walked", recursive=True)
    caused = TABLE.alias("caused")
    by_it = caused.c.causation_id.in_([walked.c.event_id, walked.c.command_id])
    forth = select(*caused.c[wanted], walked.c.depth + 1).join_from(walked, caused, by_it)
    walked = walked.union(forth.where(caused.c.position > walked.c.position, walked.c.depth < DEPTH))
    known = select(walked.c.position, walked.c.depth).where(walked.c.depth > 0).limit(MOST + 1).subquery()
    ranked = select(known, func.row_number().over().label("rank"), func.count().over().label("known")).subquery()
    near = select(ranked).where(ranked.c.rank <= MOST, ranked.c.position > after)
    found = every(db, near.order_by(ranked.c.position).limit(limit + 1))
    cut = bool(found) and found[0]["known"] > MOST
    items = [{"position": row["position"], "depth": row["depth"]} for row in found[:limit]]
    return Effects(items, len(found) > limit, cut)
