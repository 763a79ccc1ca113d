"""One row a LoRA adapter: its passport, and which adapter an alias means now."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    func,
    select,
)

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.lora_adapter import LoraAdapter, alias_in_use
from domain.lora_weights import Weights
from domain.serving import Servable
from domain.training_config import form_of
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version


class AdapterState(StrEnum):
    """`promoted`: its promotion stands; `in_use` in a list says whether it is the one now."""

    REGISTERED = "registered"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


TABLE = Table(
    "lora_adapters",
    METADATA,
    Column("adapter_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("passport", Json, nullable=False),
    Column("registered_at", Moment, nullable=False),
    Column("registered_position", BigInteger, nullable=False),
    Column("promoted_at", Moment),
    Column("promoted_position", BigInteger),
    Column("retired_at", Moment),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("lora_adapters_name_idx", "name", unique=True),
    Index("lora_adapters_registered_idx", "registered_position", unique=True),
    Index("lora_adapters_promoted_idx", "alias", "promoted_position"),
)
"""`promoted_*` are those of the last promotion; `reason` is the one given last: with a promotion, a rollback or the
retirement."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The adapter after this event."""
    event = recorded.event
    if isinstance(event, LoraAdapter.Registered):
        return _registered(event, recorded)
    return row and row | _change(recorded) | stamp(recorded)


def _registered(event: LoraAdapter.Registered, recorded: Recorded) -> Row:
    return {
        "adapter_id": event.originator_id,
        "name": event.name,
        "alias": event.passport.alias,
        "revision": event.passport.revision,
        "state": AdapterState.REGISTERED.value,
        "passport": plain(event.passport),
        "registered_at": recorded.recorded_at,
        "registered_position": recorded.position,
        "promoted_at": None,
        "promoted_position": None,
        "retired_at": None,
        "reason": None,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(recorded: Recorded) -> Row:
    match recorded.event:
        case LoraAdapter.Promoted(reason=reason):
            return {
                "state": AdapterState.PROMOTED.value,
                "promoted_at": recorded.recorded_at,
                "promoted_position": recorded.position,
                "reason": reason,
            }
        case LoraAdapter.RolledBack(reason=reason):
            return {"state": AdapterState.ROLLED_BACK.value, "reason": reason}
        case LoraAdapter.Retired(reason=reason):
            return {"state": AdapterState.RETIRED.value, "retired_at": recorded.recorded_at, "reason": reason}
        case _:
            return {}


PROJECTOR = Projector(TABLE, topics_of(LoraAdapter), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.adapter_id)


def find(db: Connection, name: str) -> Row | None:
    """One adapter, by its name `alias@revision`, with `in_use`; of `alias@production` the one in use."""
    if alias := alias_in_use(name):
        name = promoted(db, alias) or name
    return one(db, _with_use().where(TABLE.c.name == name))


def adapters(
    db: Connection,
    alias: str | None = None,
    state: AdapterState | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """Adapters of an alias or in a state (None: all), the newest first, each with `in_use`."""
    query = _with_use()
    if alias is not None:
        query = query.where(TABLE.c.alias == alias)
    if state is not None:
        query = query.where(TABLE.c.state == state.value)
    return page(db, query, TABLE.c.registered_position, cursor, limit)


def promoted(db: Connection, alias: str) -> str | None:
    """The adapter that the alias means: the one promoted last that stands; None where there is none."""
    query = select(TABLE.c.name).where(TABLE.c.alias == alias, TABLE.c.state == AdapterState.PROMOTED.value)
    return db.execute(query.order_by(TABLE.c.promoted_position.desc()).limit(1)).scalar()


def _with_use() -> Select[Row]:
    other = TABLE.alias("other")
    last = (
        select(func.max(other.c.promoted_position))
        .where(other.c.alias == TABLE.c.alias, other.c.state == AdapterState.PROMOTED.value)
        .scalar_subquery()
    )
    in_use: ColumnElement[bool] = and_(TABLE.c.state == AdapterState.PROMOTED.value, TABLE.c.promoted_position == last)
    return ROWS.add_columns(in_use.label("in_use"))


def weights(db: Connection) -> dict[str, str]:
    """The SHA-256 (hex) of the weights of each adapter that is not retired, by its name."""
    query = select(TABLE.c.name, TABLE.c.passport["sha256"].astext).where(TABLE.c.state != AdapterState.RETIRED.value)
    return dict(db.execute(query).all())


def servable(db: Connection) -> dict[str, Servable]:
    """What may be asked for, by its name: adapters that are not retired."""
    passport = TABLE.c.passport
    query = select(TABLE.c.name, passport["sha256"].astext, passport["config"], passport["base_model"].astext)
    rows = db.execute(query.where(TABLE.c.state != AdapterState.RETIRED.value))
    return {name: Servable(Weights(sha256, form_of(config)), base) for name, sha256, config, base in rows}
