"""One row a preference pair, as agents proposed it and annotators left it.

Answers: what is left to annotate, what was decided by whom, and how much each pair will weigh in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Double, Index, Select, Table, Text, Uuid

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.preference import Pair, Preference, Verdict, weight
from projections.paging import LIMIT, Page, one, page, tally
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position, version


class Standing(StrEnum):
    """Where a pair stands: nobody has judged it, it counts, it was judged unfit, or it was taken back."""

    WAITING = "waiting"
    SETTLED = "settled"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


TABLE = Table(
    "dpo_annotations",
    METADATA,
    Column("preference_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("prompt", Json, nullable=False),
    Column("chosen", Json, nullable=False),
    Column("rejected", Json, nullable=False),
    Column("chosen_agent", Text),
    Column("rejected_agent", Text),
    Column("chosen_step", Uuid),
    Column("rejected_step", Uuid),
    Column("method", Text, nullable=False),
    Column("probability", Double, nullable=False),
    Column("margin", Double, nullable=False),
    Column("weight", Double, nullable=False),
    Column("verdict", Text),
    Column("annotated_by", Text),
    Column("annotator_kind", Text),
    Column("annotated_at", Moment),
    Column("note", Text),
    Column("withdrawn_because", Text),
    Column("run_id", Uuid),
    Column("ballots", Json, nullable=False),
    Column("proposed_at", Moment, nullable=False),
    Column("proposed_position", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    version(),
    position(),
    Index("dpo_annotations_proposed_idx", "proposed_position", unique=True),
    Index("dpo_annotations_state_idx", "state", "proposed_position"),
    Index("dpo_annotations_run_idx", "run_id", "proposed_position"),
    Index("dpo_annotations_method_idx", "method", "proposed_position"),
)
"""`prompt`, `chosen` and `rejected` are lists of {role, content}, as the latest verdict leaves them; `ballots` are ids.
`weight` in [0, 1], `margin` in log-odds."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The pair after this event."""
    event = recorded.event
    if isinstance(event, Preference.Proposed):
        return _proposed(event, recorded)
    return row and row | _change(row, recorded) | stamp(recorded)


def _proposed(event: Preference.Proposed, recorded: Recorded) -> Row:
    lineage = event.lineage
    return {
        "preference_id": event.originator_id,
        "state": Standing.WAITING.value,
        **_texts(event.pair),
        "method": event.method,
        "probability": event.probability,
        "margin": event.margin,
        "weight": weight(event.probability, None),
        "verdict": None,
        "annotated_by": None,
        "annotator_kind": None,
        "annotated_at": None,
        "note": None,
        "withdrawn_because": None,
        "run_id": lineage.run if lineage else None,
        "ballots": plain(lineage.ballots) if lineage else [],
        "proposed_at": recorded.recorded_at,
        "proposed_position": recorded.position,
        **origin(recorded),
        **stamp(recorded),
    }


def _change(row: Row, recorded: Recorded) -> Row:
    match recorded.event:
        case Preference.Annotated(verdict=verdict, pair=pair, note=note):
            return _texts(pair) | _opinion(row, verdict, note, recorded)
        case Preference.Revised(pair=pair, note=note):
            return _texts(pair) | _opinion(row, Verdict.EDITED, note, recorded)
        case Preference.Withdrawn(reason=reason):
            return {"state": Standing.WITHDRAWN.value, "withdrawn_because": reason}
        case _:
            return {}


def _texts(pair: Pair) -> Row:
    return {
        "prompt": plain(pair.prompt),
        "chosen": plain(pair.chosen.messages),
        "rejected": plain(pair.rejected.messages),
        "chosen_agent": pair.chosen.agent,
        "rejected_agent": pair.rejected.agent,
        "chosen_step": pair.chosen.step,
        "rejected_step": pair.rejected.step,
    }


def _opinion(row: Row, verdict: Verdict, note: str, recorded: Recorded) -> Row:
    annotator = recorded.envelope.actor
    state = Standing.REJECTED if verdict is Verdict.REJECTED else Standing.SETTLED
    return {
        "state": state.value,
        "verdict": verdict.value,
        "weight": weight(row["probability"], verdict),
        "annotated_by": annotator.subject,
        "annotator_kind": annotator.kind.value,
        "annotated_at": recorded.recorded_at,
        "note": note,
    }


PROJECTOR = Projector(TABLE, topics_of(Preference), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.preference_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pairs to list; None: all."""

    state: Standing | None = None
    method: str | None = None
    run_id: UUID | None = None
    agent: str | None = None


def find(db: Connection, preference_id: UUID) -> Row | None:
    """One pair."""
    return one(db, ROWS.where(TABLE.c.preference_id == preference_id))


def pairs(
    db: Connection,
    wanted: Filter = Filter(),
    cursor: str | None = None,
    limit: int = LIMIT,
    newest_first: bool = True,
) -> Page:
    """Pairs, in the order in which they were proposed."""
    return page(db, _matching(wanted), TABLE.c.proposed_position, cursor, limit, newest_first)


def queue(
    db: Connection,
    method: str | None = None,
    run_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page:
    """What waits for an annotator, the oldest first."""
    return pairs(db, Filter(Standing.WAITING, method, run_id), cursor, limit, newest_first=False)


def counts(db: Connection, run_id: UUID | None = None) -> dict[str, int]:
    """How many pairs stand where, of a run or of all."""
    found = tally(db, TABLE.c.state, *([TABLE.c.run_id == run_id] if run_id else []))
    return {standing.value: found.get(standing.value, 0) for standing in Standing}


def _matching(wanted: Filter) -> Select[Row]:
    query = ROWS
    if wanted.state is not None:
        query = query.where(TABLE.c.state == wanted.state.value)
    if wanted.method is not None:
        query = query.where(TABLE.c.method == wanted.method)
    if wanted.run_id is not None:
        query = query.where(TABLE.c.run_id == wanted.run_id)
    if wanted.agent is not None:
        query = query.where((TABLE.c.chosen_agent == wanted.agent) | (TABLE.c.rejected_agent == wanted.agent))
    return query
