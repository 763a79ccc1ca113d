"""What may be asked of imported preferences: by the jobs that import them, and take an import back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from commands.exchange.known import known
from domain.errors import AlreadyDone
from domain.importing import Judgment, Known
from domain.job import Job
from domain.ports.events import Session, Written
from domain.preference import Preference, Source


@dataclass(frozen=True, slots=True)
class ImportJudgments:
    """Judgments of one file, by line. `method` names the policy by which they come in."""

    import_id: UUID
    sha256: str
    method: str
    judgments: tuple[tuple[int, Judgment], ...]


@dataclass(frozen=True, slots=True)
class WithdrawPreferences:
    """Several for one reason."""

    preferences: tuple[UUID, ...]
    reason: str


def add(command: ImportJudgments, session: Session) -> Written:
    """Proposes what is not known yet, all of it or nothing. Raises AlreadyDone where the import is over: a worker that
    was given up adds no more. Raises Invalid for a pair that prefers nothing."""
    job = session.get(Job, command.import_id)
    if job.finished:
        raise AlreadyDone(f"the import is {job.state}")
    found = known([judgment for _, judgment in command.judgments], session.beginnings, session.history)
    fresh: dict[UUID, Preference] = {}
    for (line, judgment), what in zip(command.judgments, found, strict=True):
        if what is Known.NOTHING and judgment.id not in fresh:
            fresh[judgment.id] = Preference.propose(
                id=judgment.id,
                pair=judgment.pair,
                probability=judgment.probability,
                margin=judgment.margin,
                method=command.method,
                lineage=None,
                source=Source(command.import_id, command.sha256, line, judgment.annotator),
                at=session.now(),
            )
    return session.save(*fresh.values()) if fresh else session.save(job)


def withdraw(command: WithdrawPreferences, session: Session) -> Written:
    """Takes them out of every later dataset, all or none; those that were withdrawn stay so. Raises NotFound."""
    preferences = [session.get(Preference, id) for id in command.preferences]
    for preference in preferences:
        preference.withdraw(command.reason, at=session.now())
    return session.save(*preferences)
