"""One row an opinion on a pair, given or taken back: who said what, by which rubric, at which position.

Answers: what is in force now or was at any position, and how far people agree with each other and with the judges.
Opinions of before it was told who spoke (domain.opinion.in_force) have the name of who sent them, and count here until
these speak again: agreement counts them too, where of a pair the next one to speak replaced them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, Select, Table, Text, Uuid, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.sql import ColumnElement

from domain.errors import Invalid
from domain.events import ActorKind, Recorded, topic_of
from domain.opinion import Consensus, Opinion
from domain.pair import Pair, Verdict
from domain.preference import Preference
from projections.paging import every
from projections.projector import Projector, Row
from projections.stale import marked
from projections.tables import METADATA, Json, Moment

TABLE = Table(
    "opinions",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("preference_id", Uuid, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("annotator_kind", Text, nullable=False),
    Column("verdict", Text),
    Column("choice", Text),
    Column("rubric", Integer),
    Column("ratings", Json, nullable=False),
    Column("note", Text, nullable=False),
    Column("undone", Boolean, nullable=False),
    Column("chosen_step", Uuid),
    Column("rejected_step", Uuid),
    Column("recorded_at", Moment, nullable=False),
    Index("opinions_pair_idx", "preference_id", "annotator", "position"),
)
"""Each row is what its annotator's word on the pair is from its position on: after one was taken back (`undone`, with
the reason as `note`) the one before it, or none, where `verdict` and `choice` are null. `choice` is of the answers as
they were proposed, which are those of `chosen_step` and `rejected_step`."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The row of this event. Nothing ever changes it."""
    match recorded.event:
        case Preference.Annotated() as said:
            pair = _as_proposed(said.pair, said.consensus)
            opinion = Opinion(said.annotator, said.verdict, said.verdict, said.scores)
            return _row(recorded, said.annotator, opinion, pair, said.note)
        case Preference.Revised() as said:
            pair = _as_proposed(said.standing or said.pair, said.consensus)
            opinion = Opinion(said.annotator, Verdict.EDITED, said.choice, said.scores)
            return _row(recorded, said.annotator, opinion, pair, said.note)
        case Preference.Undone() as undone:
            pair = _as_proposed(undone.pair, undone.consensus)
            return _row(recorded, undone.annotator, undone.again, pair, undone.reason) | {"undone": True}
        case _:
            return row


def _as_proposed(pair: Pair, consensus: Consensus) -> Pair:
    return pair.under(Verdict.FLIPPED) if consensus.choice is Verdict.FLIPPED else pair


def _row(recorded: Recorded, annotator: str | None, opinion: Opinion | None, pair: Pair, note: str) -> Row:
    actor, scores = recorded.envelope.actor, opinion and opinion.scores
    return {
        "position": recorded.position,
        "preference_id": recorded.event.originator_id,
        "annotator": annotator or actor.subject,
        "annotator_kind": actor.kind.value,
        "verdict": opinion and opinion.verdict.value,
        "choice": opinion and opinion.choice.value,
        "rubric": scores and scores.rubric,
        "ratings": scores.ratings if scores else {},
        "note": note,
        "undone": False,
        "chosen_step": pair.chosen.step,
        "rejected_step": pair.rejected.step,
        "recorded_at": recorded.recorded_at,
    }


def _position(recorded: Recorded) -> int:
    return recorded.position


PROJECTOR = Projector(
    TABLE,
    tuple(map(topic_of, (Preference.Annotated, Preference.Revised, Preference.Undone))),
    _position,
    fold,
    inserts_only=True,
)
ROWS = marked(TABLE, TABLE.c.preference_id)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which opinions: in force at the position `as_of` (None: now), given at or after `since` and before `until`."""

    as_of: int | None = None
    since: datetime | None = None
    until: datetime | None = None


NOW = Asked()
MOST = 100_000
"""Opinions that agreement is measured of at once."""
JUDGED = ("preference_id", "annotator", "choice", "rubric", "ratings", "chosen_step")


def of_pair(db: Connection, preference_id: UUID) -> list[Row]:
    """The opinions on a pair that are in force, in the order in which they were given."""
    return every(db, _in_force(NOW, TABLE.c.preference_id == preference_id))


def of_people(db: Connection, asked: Asked = NOW, most: int = MOST) -> list[Row]:
    """Of every opinion of a person that is in force what was judged, in the order in which they were given. Raises
    Invalid where they are more than `most`: all of them are held at once."""
    said = _in_force(asked, TABLE.c.annotator_kind == ActorKind.HUMAN.value)
    judged = said.with_only_columns(*(said.selected_columns[name] for name in JUDGED))
    found = every(db, judged.limit(most + 1))
    if len(found) > most:
        raise Invalid(f"more than {most:,} opinions: narrow since and until")
    return found


def _in_force(asked: Asked, *which: ColumnElement[bool]) -> Select[Any]:
    """The latest row of each annotator on each pair, unless it says that there is no opinion any more."""
    latest = select(TABLE).ext(distinct_on(TABLE.c.preference_id, TABLE.c.annotator)).where(*which)
    if asked.as_of is not None:
        latest = latest.where(TABLE.c.position <= asked.as_of)
    found = latest.order_by(TABLE.c.preference_id, TABLE.c.annotator, TABLE.c.position.desc()).subquery()
    query = select(found).where(found.c.verdict.is_not(None))
    if asked.since is not None:
        query = query.where(found.c.recorded_at >= asked.since)
    if asked.until is not None:
        query = query.where(found.c.recorded_at < asked.until)
    return query.order_by(found.c.position)
