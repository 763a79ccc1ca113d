"""Read models that are made of the rows of others: counts that no fold of single events could keep, as what is counted
is joined of several rows.

They keep to what projectors keep to. Rows and checkpoint are one transaction, the checkpoint first; no more is taken in
than all of the sources have; and where rows of a source were made anew, all is counted anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, delete

from projections import checkpoints
from projections.projector import Projector

SPAN = 25_000
"""Positions that are taken in at once: half a second's work where most of them are ballots."""


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """`take_in` adds to the `tables` what the rows of the `sources` with after < position <= upto come to."""

    name: str
    sources: tuple[Projector, ...]
    tables: tuple[Table, ...]
    take_in: Callable[[Connection, int, int], None]


def advance(engine: Engine, derived: Derived, span: int = SPAN) -> bool:
    """Takes in so many positions at most. Returns whether there may be more."""
    with engine.begin() as db:
        after = checkpoints.position(db, derived.name)
        end = min(checkpoints.position(db, source.name) for source in derived.sources)
        upto = min(end, after + span)
        if after >= upto:
            return False
        if not checkpoints.move(db, derived.name, after, upto):
            return True  # another was quicker, and need not have taken in all of it
        derived.take_in(db, after, upto)
    return upto < end


def catch_up(engine: Engine, derived: Derived, span: int = SPAN) -> int:
    """Takes in all that the sources have. Returns the checkpoint."""
    while advance(engine, derived, span):
        pass
    with engine.connect() as db:
        return checkpoints.position(db, derived.name)


def remake(engine: Engine, derived: Derived) -> int:
    """Counts all anew, in place: readers see how far it is by its position. Returns the checkpoint."""
    with engine.begin() as db:
        _begin_anew(db, derived)
    return catch_up(engine, derived)


def forget(db: Connection, all_derived: Iterable[Derived], source: Projector) -> None:
    """Has what is made of that source begin anew, as the source's rows do. Comes before these are locked: who takes
    them in holds the checkpoint, and waits for them."""
    for derived in all_derived:
        if source.name in {each.name for each in derived.sources}:
            _begin_anew(db, derived)


def _begin_anew(db: Connection, derived: Derived) -> None:
    checkpoints.claim(db, derived.name)
    for table in derived.tables:
        db.execute(delete(table))
    checkpoints.place(db, derived.name, 0)
