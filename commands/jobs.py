"""What may be asked of jobs: by people (request, replay, cancel), by schedules, and by the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.errors import Invalid
from domain.job import RESULT_CHARACTERS, Job, JobKind, Json, Priority, ResultFile, result_text
from domain.ports.events import Session, Written
from domain.text import excerpt


@dataclass(frozen=True, slots=True)
class RequestJob:
    """`id`: asked twice for one id, there is one job. `priority` None: the kind's own. `not_before` None: now."""

    kind: str
    payload: Json = field(default_factory=dict)
    priority: Priority | None = None
    not_before: datetime | None = None
    id: UUID | None = None
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class StartJob:
    job: UUID
    worker: str


@dataclass(frozen=True, slots=True)
class ProgressJob:
    job: UUID
    epoch: int
    text: str


@dataclass(frozen=True, slots=True)
class SucceedJob:
    job: UUID
    epoch: int
    result: Json | ResultFile


@dataclass(frozen=True, slots=True)
class FailJobAttempt:
    """`permanent`: another attempt would be of no use. `chance`, from 0 to 1, spreads the rests."""

    job: UUID
    epoch: int
    error: str
    permanent: bool = False
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class ReleaseJob:
    job: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class ReplayJob:
    job: UUID
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CancelJob:
    job: UUID
    reason: str
    expected_version: int | None = None


class Requesting:
    """Asks for jobs of the kinds that workers know."""

    def __init__(self, kinds: Mapping[str, JobKind]) -> None:
        self._kinds = kinds

    def __call__(self, command: RequestJob, session: Session) -> Written:
        """Raises Invalid for an unknown kind, or a payload that is not of its form."""
        kind = self._kinds.get(command.kind)
        if kind is None:
            free = sorted(name for name, kind in self._kinds.items() if kind.belongs_to is None)
            raise Invalid(f"no worker knows jobs of the kind {command.kind!r}; there is {', '.join(free)}")
        if command.id and (known := session.find(Job, command.id)):
            return session.save(known)
        if kind.belongs_to:
            raise Invalid(f"a job of the kind {kind.name} belongs to {kind.belongs_to}, and is asked for there")
        return session.save(new_job(kind, command.payload, session, command))


def new_job(kind: JobKind, payload: Json, session: Session, how: RequestJob | None = None) -> Job:
    """A job of that kind, to be saved. `how`: with what it may say of priority, time, id and schedule. Raises Invalid
    for a payload that is not of the kind's form."""
    at = session.now()
    return Job.request(
        id=(how and how.id) or session.new_id(),
        kind=kind.name,
        queue=kind.queue,
        priority=(how and how.priority) or kind.priority,
        payload=kind.check(payload),
        policy=kind.policy,
        due_at=(how and how.not_before) or at,
        schedule=how.schedule if how else None,
        at=at,
    )


def start(command: StartJob, session: Session) -> Written:
    """Raises NotFound, AlreadyDone, LeaseLost (another worker has it), NotDue."""
    job = session.get(Job, command.job)
    job.start(command.worker, at=session.now())
    return session.save(job)


def progress(command: ProgressJob, session: Session) -> Written:
    """Raises NotFound, LeaseLost, AlreadyDone (the job is over)."""
    job = session.get(Job, command.job)
    job.progress(command.epoch, excerpt(command.text), at=session.now())
    return session.save(job)


def succeed(command: SucceedJob, session: Session) -> Written:
    """Raises NotFound, LeaseLost, AlreadyDone, Invalid for a result that is too large."""
    if not isinstance(command.result, ResultFile) and len(result_text(command.result)) > RESULT_CHARACTERS:
        raise Invalid(f"a result has at most {RESULT_CHARACTERS:,} characters; keep it in a file")
    job = session.get(Job, command.job)
    job.succeed(command.epoch, command.result, at=session.now())
    return session.save(job)


def fail(command: FailJobAttempt, session: Session) -> Written:
    """Raises NotFound, LeaseLost, AlreadyDone (the job is over)."""
    job = session.get(Job, command.job)
    job.fail(command.epoch, excerpt(command.error), command.permanent, command.chance, at=session.now())
    return session.save(job)


def release(command: ReleaseJob, session: Session) -> Written:
    """Raises NotFound, LeaseLost, AlreadyDone (the job is over)."""
    job = session.get(Job, command.job)
    job.release(command.epoch, at=session.now())
    return session.save(job)


def replay(command: ReplayJob, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone where it is no dead letter."""
    job = session.get(Job, command.job, command.expected_version)
    job.replay(at=session.now())
    return session.save(job)


def cancel(command: CancelJob, session: Session) -> Written:
    """A dead letter, too. Raises NotFound, VersionConflict, AlreadyDone when it succeeded or was cancelled."""
    job = session.get(Job, command.job, command.expected_version)
    job.cancel(command.reason, at=session.now())
    return session.save(job)
