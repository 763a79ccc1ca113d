"""What may be asked of preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from domain.doubt import Support
from domain.errors import AlreadyDone
from domain.opinion import Scores
from domain.ports.events import Session, Written
from domain.preference import Lineage, Pair, Preference, Verdict
from domain.rubric import RUBRIC_ID, Rubric, scored

BY_HAND = "by-hand/1"


@dataclass(frozen=True, slots=True)
class ProposePreference:
    """`id` given: one that follows from what is proposed, so that a policy proposes it once."""

    pair: Pair
    probability: float = 1.0
    margin: float = 0.0
    method: str = BY_HAND
    lineage: Lineage | None = None
    id: UUID | None = None
    support: Support | None = None


@dataclass(frozen=True, slots=True)
class Rated:
    """Ratings by the criteria of the rubric; `rubric` is the version of it that the annotator saw (None: whichever is
    current)."""

    ratings: Mapping[str, int] = field(default_factory=dict)
    rubric: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatePreference:
    preference_id: UUID
    verdict: Verdict
    note: str = ""
    expected_version: int | None = None
    rated: Rated = Rated()


@dataclass(frozen=True, slots=True)
class RevisePreference:
    preference_id: UUID
    chosen: str
    rejected: str | None = None
    note: str = ""
    expected_version: int | None = None
    rated: Rated = Rated()


@dataclass(frozen=True, slots=True)
class UndoOpinion:
    """The caller's own latest one."""

    preference_id: UUID
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SkipPreference:
    """For the caller."""

    preference_id: UUID
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AssignPreference:
    preference_id: UUID
    annotator: str


@dataclass(frozen=True, slots=True)
class UnassignPreference:
    preference_id: UUID
    annotator: str


@dataclass(frozen=True, slots=True)
class NotePreference:
    preference_id: UUID
    note: str


@dataclass(frozen=True, slots=True)
class WithdrawPreference:
    preference_id: UUID
    reason: str
    expected_version: int | None = None


def propose(command: ProposePreference, session: Session) -> Written:
    """Raises Invalid for a pair that prefers nothing, AlreadyDone when that id was proposed before."""
    if command.id and session.find(Preference, command.id):
        raise AlreadyDone(f"preference {command.id} was proposed before")
    preference = Preference.propose(
        id=command.id or session.new_id(),
        pair=command.pair,
        probability=command.probability,
        margin=command.margin,
        method=command.method,
        lineage=command.lineage,
        at=session.now(),
        support=command.support,
    )
    return session.save(preference)


def annotate(command: AnnotatePreference, session: Session) -> Written:
    """Raises NotFound, VersionConflict (someone else was faster, or the rubric is another one), AlreadyDone
    (withdrawn), Invalid (a rating that the rubric does not have)."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    scores, wanted = _rubric(command.rated, session)
    preference.annotate(command.verdict, command.note, session.now(), _caller(session), scores, wanted)
    return session.save(preference)


def revise(command: RevisePreference, session: Session) -> Written:
    """Raises as `annotate`, and Invalid for the same text twice and for the texts as they stand."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    scores, wanted = _rubric(command.rated, session)
    preference.revise(command.chosen, command.rejected, command.note, session.now(), _caller(session), scores, wanted)
    return session.save(preference)


def undo(command: UndoOpinion, session: Session) -> Written:
    """Raises NotFound, AlreadyDone (withdrawn, or there is nothing of the caller's to take back)."""
    preference = session.get(Preference, command.preference_id)
    preference.undo(_caller(session), command.reason, at=session.now())
    return session.save(preference)


def skip(command: SkipPreference, session: Session) -> Written:
    """Raises NotFound, AlreadyDone (withdrawn)."""
    preference = session.get(Preference, command.preference_id)
    preference.skip(_caller(session), command.reason, at=session.now())
    return session.save(preference)


def assign(command: AssignPreference, session: Session) -> Written:
    """Raises NotFound, AlreadyDone (nobody is asked about it)."""
    preference = session.get(Preference, command.preference_id)
    preference.assign(command.annotator, at=session.now())
    return session.save(preference)


def unassign(command: UnassignPreference, session: Session) -> Written:
    """Raises NotFound."""
    preference = session.get(Preference, command.preference_id)
    preference.unassign(command.annotator, at=session.now())
    return session.save(preference)


def note(command: NotePreference, session: Session) -> Written:
    """Raises NotFound, Invalid for an empty one."""
    preference = session.get(Preference, command.preference_id)
    preference.remark(_caller(session), command.note, at=session.now())
    return session.save(preference)


def withdraw(command: WithdrawPreference, session: Session) -> Written:
    """Raises NotFound, VersionConflict."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    preference.withdraw(command.reason, at=session.now())
    return session.save(preference)


def _caller(session: Session) -> str:
    return session.envelope.actor.subject


def _rubric(rated: Rated, session: Session) -> tuple[Scores | None, int]:
    """What was rated by it, and how many annotators it wants for a pair."""
    rubric = session.find(Rubric, RUBRIC_ID)
    return scored(rubric, rated.ratings, rated.rubric), rubric.annotators if rubric else 1
