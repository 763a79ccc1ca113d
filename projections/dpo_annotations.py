"""One row a preference pair, as agents proposed it and annotators left it.

Answers: what is left to annotate, what was decided by whom, and how much each pair will weigh in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    text,
)

from domain.catalogue import topics_of
from domain.doubt import Support, urgency
from domain.events import Recorded
from domain.opinion import IN_QUEUE, Consensus, Standing
from domain.preference import Pair, Preference, weight
from projections.paging import LIMIT, Page, one, page, tally
from projections.projector import Projector, Row, aggregate_id, origin, plain, stamp
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, in_states, position, version

QUEUED = in_states(IN_QUEUE)
"""Pairs that people are asked about, in the words in which queries have to say it too."""

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
    Column("spoken_by", Json, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("skipped_by", Json, nullable=False),
    Column("assigned_to", Json, nullable=False),
    Column("support", Json),
    Column("in_doubt", Boolean, nullable=False),
    Column("urgency", Double, nullable=False),
    Column("withdrawn_because", Text),
    Column("run_id", Uuid),
    Column("ballots", Json, nullable=False),
    Column("import_id", Uuid),
    Column("source", Json),
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
    Index("dpo_annotations_import_idx", "import_id", "proposed_position"),
    Index(
        "dpo_annotations_queue_idx",
        text("urgency DESC"),
        text("(-proposed_position) DESC"),
        postgresql_where=text(QUEUED),
    ),
    Index("dpo_annotations_assigned_idx", "assigned_to", postgresql_using="gin", postgresql_where=text(QUEUED)),
)
"""`prompt`, `chosen` and `rejected` are lists of {role, content}, as the latest verdict leaves them; `ballots` are ids.
`source` says where in which file an imported pair was, and who judged it there. `weight`
in [0, 1]; `margin` in log-odds, of an imported pair in points of its scores. `verdict` is the one that counts, and
`annotated_by` who spoke last; `spoken_by` says whose opinions are in force, and `wanted` how many the pair wants.
`support` and `in_doubt` say what the ballots' word is worth, `urgency` the place in the queue (domain.doubt)."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The pair after this event."""
    event = recorded.event
    if isinstance(event, Preference.Proposed):
        return _proposed(event, recorded)
    return row and _ranked(row | _change(row, recorded)) | stamp(recorded)


def _proposed(event: Preference.Proposed, recorded: Recorded) -> Row:
    lineage, source = event.lineage, event.source
    row = {
        "preference_id": event.originator_id,
        "state": (Standing.IMPORTED if source else Standing.WAITING).value,
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
        "spoken_by": [],
        "wanted": 1,
        "skipped_by": [],
        "assigned_to": [],
        "support": plain(event.support) if event.support else None,
        "in_doubt": event.in_doubt,
        "withdrawn_because": None,
        "run_id": lineage.run if lineage else None,
        "ballots": plain(lineage.ballots) if lineage else [],
        "import_id": source.import_id if source else None,
        "source": plain(source) if source else None,
        "proposed_at": recorded.recorded_at,
        "proposed_position": recorded.position,
        **origin(recorded),
        **stamp(recorded),
    }
    return _ranked(row)


def _ranked(row: Row) -> Row:
    support = Support(**row["support"]) if row["support"] else None
    return row | {"urgency": urgency(Standing(row["state"]), row["probability"], support, row["in_doubt"])}


def _change(row: Row, recorded: Recorded) -> Row:
    match recorded.event:
        case Preference.Annotated() as said:
            unnamed = recorded.envelope.actor.subject
            return _texts(said.pair) | _decided(row, said.consensus, unnamed) | _heard(row, said, recorded)
        case Preference.Revised() as said:
            pair, unnamed = said.standing or said.pair, recorded.envelope.actor.subject
            return _texts(pair) | _decided(row, said.consensus, unnamed) | _heard(row, said, recorded)
        case Preference.Undone() as undone:
            return _texts(undone.pair) | _decided(row, undone.consensus, None) | _taken_back(row, undone)
        case Preference.Skipped(annotator=annotator):
            return _with(row, "skipped_by", annotator) | _without(row, "assigned_to", annotator)
        case Preference.Assigned(annotator=annotator):
            return _with(row, "assigned_to", annotator) | _without(row, "skipped_by", annotator)
        case Preference.Unassigned(annotator=annotator):
            return _without(row, "assigned_to", annotator)
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


def _decided(row: Row, consensus: Consensus, unnamed: str | None) -> Row:
    """`unnamed` gave the opinion that names nobody; None: it is not known who did, and nobody is told."""
    judged = consensus.by or not row["import_id"]
    return {
        "state": (consensus.state if judged else Standing.IMPORTED).value,
        "verdict": consensus.verdict and consensus.verdict.value,
        "weight": weight(row["probability"], consensus.verdict),
        "spoken_by": [name for by in consensus.by if (name := by or unnamed)],
        "wanted": consensus.wanted,
    }


def _heard(row: Row, said: Preference.Annotated | Preference.Revised, recorded: Recorded) -> Row:
    actor = recorded.envelope.actor
    annotator = said.annotator or actor.subject
    return {
        "annotated_by": annotator,
        "annotator_kind": actor.kind.value,
        "annotated_at": recorded.recorded_at,
        "note": said.note,
        **_without(row, "assigned_to", annotator),
    }


def _taken_back(row: Row, undone: Preference.Undone) -> Row:
    """Of a word that is the last one again it is not told when it was given, nor by what kind of actor."""
    last = undone.consensus.by[-1] if undone.consensus.by else None
    if last == row["annotated_by"] != undone.annotator:
        return {}
    return {"annotated_by": last, "annotator_kind": None, "annotated_at": None, "note": None}


def _with(row: Row, column: str, name: str) -> Row:
    return {column: sorted({*row[column], name})}


def _without(row: Row, column: str, name: str) -> Row:
    return {column: [other for other in row[column] if other != name]}


PROJECTOR = Projector(TABLE, topics_of(Preference), aggregate_id, fold)
ROWS = marked(TABLE, TABLE.c.preference_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pairs to list; None: all."""

    state: Standing | None = None
    method: str | None = None
    run_id: UUID | None = None
    agent: str | None = None
    import_id: UUID | None = None


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
    if wanted.import_id is not None:
        query = query.where(TABLE.c.import_id == wanted.import_id)
    if wanted.agent is not None:
        query = query.where((TABLE.c.chosen_agent == wanted.agent) | (TABLE.c.rejected_agent == wanted.agent))
    return query
