"""What every read model's table is made of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Column, DateTime, MetaData
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()
"""The tables of all read models, as Alembic compares them with the database."""

Json = JSONB(none_as_null=True)
Moment = DateTime(timezone=True)


def in_states(states: Iterable[str]) -> str:
    """In SQL, for an index of such rows alone and for what reads by it. As text, as PostgreSQL takes that index only
    where it sees the very states, and no parameters."""
    return "state IN ({})".format(", ".join(f"'{state}'" for state in states))


def position() -> Column[int]:
    """The position of the last event in the row."""
    return Column("position", BigInteger, nullable=False)


def version() -> Column[int]:
    """The aggregate's version in the row: what a command must expect, and the ETag."""
    return Column("version", BigInteger, nullable=False)
