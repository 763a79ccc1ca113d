"""Rebuilding a read model beside the one in use, which is read and kept up to date all the while.

The new rows grow in the schema `shadow`, each batch with its checkpoint in one transaction: a rebuild that was
interrupted goes on where it was, as long as the code is the same. Indexes that only readers need are made when most
rows are there, and after them statistics, while the rows are compared with those in use. When the shadow has caught up,
one transaction brings it to the very position of the rows in use, and puts it in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from eventsourcing.utils import retry
from sqlalchemy import Connection, Engine, Index, func, inspect, or_, select, text
from sqlalchemy.schema import CreateSchema, CreateTable, DropTable

from domain.errors import Invalid
from domain.ports.events import StoredEvents
from projections import DERIVED, checkpoints
from projections.code import fingerprint
from projections.derived import forget
from projections.engine import advance, checkpoint, step
from projections.failures import OUTAGES
from projections.projector import Projector

BATCH = 2000
SHADOW = "shadow"
SWAP_PATIENCE = "2s"
"""How long a swap waits for those who read the old rows, before it lets the others pass and tries again."""

VIEWS_ON = (
    "SELECT DISTINCT rule.ev_class::regclass::text FROM pg_depend JOIN pg_rewrite AS rule ON rule.oid = objid"
    " WHERE refobjid = to_regclass(:table) AND rule.ev_class <> refobjid"
)
GRANTS_ON = (
    "SELECT format('GRANT %s ON %I TO %s', privilege_type, relname,"
    " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)"
    " FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(:table) AND grantee <> relowner"
)
"""Who else may do what with a table, as statements."""

OnProgress = Callable[[int, int], None]
"""Told how far a rebuild is: the position reached, and the one that it ends at."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to. `differing` counts the rows that are not as they were in use, None where none were;
    `parked` the events that could not be taken in."""

    position: int
    differing: int | None
    parked: int


def silent(done: int, total: int) -> None:
    """Tells nobody."""


def rebuild(
    engine: Engine, events: StoredEvents, projector: Projector, on_progress: OnProgress = silent, batch: int = BATCH
) -> Rebuilt:
    """Folds every event anew, parked ones too, and makes the table where it was dropped. A batch at a time is in
    memory. Of two rebuilds at once the second begins when the first is done."""
    shadow = projector.in_schema(SHADOW)
    with _alone(engine, projector):
        _prepare(engine, projector, shadow)
        _catch_up(engine, events, shadow, on_progress, batch)
        _make_indexes(engine, shadow)
        _catch_up(engine, events, shadow, on_progress, batch)
        with ThreadPoolExecutor(1, "verify") as beside:
            comparison = beside.submit(_differing, engine, projector, shadow)
            _vacuum(engine, shadow)
        differing = comparison.result()
        _catch_up(engine, events, shadow, on_progress, batch)
        position, parked = _swap(engine, events, projector, shadow, batch)
    return Rebuilt(position, differing, parked)


def _catch_up(engine: Engine, events: StoredEvents, shadow: Projector, on_progress: OnProgress, batch: int) -> None:
    """Ends with a batch that reached the head as it was then. New events may come all the while: the swap takes in the
    last ones."""
    position = checkpoint(engine, shadow)
    on_progress(position, events.head())
    behind = batch + 1
    while behind > batch:
        head = events.head()
        behind = head - position
        position = step(engine, events, shadow, head, batch)
        on_progress(position, head)


@contextmanager
def _alone(engine: Engine, projector: Projector) -> Iterator[None]:
    """Holds an advisory lock, which is gone with the connection whatever happens to this process."""
    name = func.hashtextextended(f"rebuild {projector.name}", 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(select(func.pg_advisory_lock(name)))
        try:
            yield
        finally:
            db.execute(select(func.pg_advisory_unlock(name)))


def _prepare(engine: Engine, projector: Projector, shadow: Projector) -> None:
    """An empty shadow; or the one that a rebuild with the same code left behind. Raises Invalid where somebody's view
    would be lost with the table that it is built on."""
    code = fingerprint()
    with engine.begin() as db:
        if views := list(db.scalars(text(VIEWS_ON), {"table": projector.name})):
            raise Invalid(
                f"{', '.join(views)} would be lost with the old {projector.name}: drop it, and make it anew after"
            )
        db.execute(CreateSchema(SHADOW, if_not_exists=True))
        checkpoints.claim(db, shadow.name)
        if _code_of(db, shadow) != code:
            db.execute(DropTable(shadow.table, if_exists=True))
            db.execute(CreateTable(shadow.table))
            for index in _deciding(shadow):
                index.create(db)
            db.execute(text(f"COMMENT ON TABLE {shadow.name} IS '{code}'"))
            checkpoints.unpark(db, shadow.name)
            checkpoints.place(db, shadow.name, 0)


def _deciding(shadow: Projector) -> set[Index]:
    """The indexes that may refuse a row, and so have a say in which events are parked."""
    return {index for index in shadow.table.indexes if index.unique}


def _make_indexes(engine: Engine, shadow: Projector) -> None:
    """Those that are missing, each in a transaction of its own: a rebuild that was interrupted keeps them."""
    for index in shadow.table.indexes - _deciding(shadow):
        with engine.begin() as db:
            index.create(db, checkfirst=True)


def _vacuum(engine: Engine, shadow: Projector) -> None:
    """So that readers find statistics to plan by, and a visibility map that spares them the rows, from the first."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text(f"VACUUM (ANALYZE) {shadow.name}"))


def _code_of(db: Connection, shadow: Projector) -> str | None:
    """The fingerprint of the code that fills that shadow; None where there is none."""
    return db.scalar(select(func.obj_description(func.to_regclass(shadow.name), "pg_class")))


def _differing(engine: Engine, projector: Projector, shadow: Projector) -> int | None:
    """How many rows are not the same in use and in the shadow, of those that neither has touched since the other's
    last event."""
    used, new = projector.table, shadow.table
    with engine.connect() as db:
        if not inspect(db).has_table(used.name):
            return None
        both = min(checkpoints.position(db, projector.name), checkpoints.position(db, shadow.name))
        pairs = used.join(new, projector.primary_key == shadow.primary_key, full=True)
        differ = or_(*(column.is_distinct_from(new.c[column.name]) for column in used.columns))
        settled = func.greatest(used.c.position, new.c.position) <= both
        return db.scalar(select(func.count()).select_from(pairs).where(settled, differ))


@retry(OUTAGES, max_attempts=30, wait=1.0)
def _swap(engine: Engine, events: StoredEvents, projector: Projector, shadow: Projector, batch: int) -> tuple[int, int]:
    """Returns the checkpoint and how many events are parked. Readers wait for an instant, the projector for the last
    events of the shadow."""
    with engine.begin() as db:
        used = checkpoints.claim(db, projector.name)
        if _code_of(db, shadow) is None:  # committed, though the answer to that was lost
            return used, checkpoints.count_parked(db, projector.name)
        position = checkpoints.claim(db, shadow.name)
        if position < used:
            *_, position = advance(db, events, shadow, position, used, batch)
        db.execute(text(f"SET LOCAL lock_timeout = '{SWAP_PATIENCE}'"))
        forget(db, DERIVED, projector)
        grants = list(db.execute(text(GRANTS_ON), {"table": projector.name}).scalars())
        db.execute(DropTable(projector.table, if_exists=True))
        db.execute(text(f"COMMENT ON TABLE {shadow.name} IS NULL"))
        schema = db.scalar(select(func.current_schema()))
        db.execute(text(f'ALTER TABLE {shadow.name} SET SCHEMA "{schema}"'))
        for grant in grants:
            db.execute(text(grant))
        parked = checkpoints.take_over(db, projector.name, shadow.name, position)
    return position, parked
