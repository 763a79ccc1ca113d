"""What may be asked of preferences."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from domain.errors import AlreadyDone
from domain.ports import Session, Written
from domain.preference import Lineage, Pair, Preference, Verdict

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


@dataclass(frozen=True, slots=True)
class AnnotatePreference:
    preference_id: UUID
    verdict: Verdict
    note: str = ""
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RevisePreference:
    preference_id: UUID
    chosen: str
    rejected: str | None = None
    note: str = ""
    expected_version: int | None = None


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
    )
    return session.save(preference)


def annotate(command: AnnotatePreference, session: Session) -> Written:
    """Raises NotFound, VersionConflict (someone else was faster), AlreadyDone (withdrawn)."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    preference.annotate(command.verdict, command.note, at=session.now())
    return session.save(preference)


def revise(command: RevisePreference, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone (withdrawn), Invalid (the same text twice)."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    preference.revise(command.chosen, command.rejected, command.note, at=session.now())
    return session.save(preference)


def withdraw(command: WithdrawPreference, session: Session) -> Written:
    """Raises NotFound, VersionConflict."""
    preference = session.get(Preference, command.preference_id, command.expected_version)
    preference.withdraw(command.reason, at=session.now())
    return session.save(preference)
