"""What may be asked of batches: by people, who start, hold, stop and retry them, and by the policy that follows their
runs.

Whichever it is, it ends with asking for as many runs as there is room for, in the same transaction: a batch and its
runs never disagree, and whatever is repeated finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from commands.workflows import Castable, team_of
from domain.batch import Batch
from domain.errors import DomainError
from domain.limits import NO_LIMITS, Limits
from domain.ports.events import Session, Written
from domain.steps import Task
from domain.workflow import Workflow


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """`name` groups its runs; `agents` empty: everybody on the roster. `at_once` None: all of them."""

    name: str
    kind: str
    tasks: tuple[Task, ...]
    agents: tuple[str, ...] = ()
    max_tokens: int | None = None
    limits: Limits = NO_LIMITS
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class NoteRun:
    """Something became of that run of the batch."""

    batch: UUID
    run: UUID


@dataclass(frozen=True, slots=True)
class PauseBatch:
    batch: UUID
    reason: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ResumeBatch:
    batch: UUID
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RetryBatch:
    """`limits` None: those that its runs had."""

    batch: UUID
    limits: Limits | None
    reason: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class StopBatch:
    batch: UUID
    reason: str
    expected_version: int | None = None


class Requesting:
    """Starts batches of runs of the kinds that workers know how to play, by their names."""

    def __init__(self, kinds: Mapping[str, Castable]) -> None:
        self._kinds = kinds

    def __call__(self, command: RequestBatch, session: Session) -> Written:
        """Raises NotFound without a roster, and Invalid for what its runs could not be."""
        revision, agents = team_of(self._kinds, command.kind, command.agents, session)
        batch = Batch.request(
            id=session.new_id(),
            name=command.name,
            kind=command.kind,
            tasks=command.tasks,
            roster_revision=revision,
            agents=agents,
            max_tokens=command.max_tokens,
            limits=command.limits,
            at_once=command.at_once,
            at=session.now(),
        )
        return _save(batch, session)


def note(command: NoteRun, session: Session) -> Written:
    """Takes in how the run stands now. Raises NotFound."""
    batch = session.get(Batch, command.batch)
    batch.note(command.run, session.get(Workflow, command.run).state, at=session.now())
    return _save(batch, session)


def pause(command: PauseBatch, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone unless the batch is running."""
    batch = session.get(Batch, command.batch, command.expected_version)
    batch.pause(command.reason, at=session.now())
    return _save(batch, session)


def resume(command: ResumeBatch, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the batch is not paused."""
    batch = session.get(Batch, command.batch, command.expected_version)
    batch.resume(at=session.now())
    return _save(batch, session)


def retry(command: RetryBatch, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone where nothing fell short or it was stopped, Invalid."""
    batch = session.get(Batch, command.batch, command.expected_version)
    batch.retry(command.limits, command.reason, at=session.now())
    return _save(batch, session)


def stop(command: StopBatch, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the batch is over."""
    batch = session.get(Batch, command.batch, command.expected_version)
    batch.stop(command.reason, at=session.now())
    return _save(batch, session)


def _save(batch: Batch, session: Session) -> Written:
    """With the runs that there is room for."""
    runs = []
    asked = _request_of(batch, session) if batch.has_room else None
    while asked and batch.has_room:
        run = _taken_up_again(batch, session) if batch.again else _next(batch, asked, session)
        if run:
            runs.append(run)
    batch.complete_if_done(at=session.now())
    return session.save(batch, *runs)


def _request_of(batch: Batch, session: Session) -> Batch.Requested:
    """It alone knows the tasks."""
    pending = [event for event in batch.pending_events if isinstance(event, Batch.Requested)]
    return pending[0] if pending else cast(Batch.Requested, session.history(batch.id, upto=1)[0].event)


def _next(batch: Batch, asked: Batch.Requested, session: Session) -> Workflow:
    run = Workflow.request(
        id=session.new_id(),
        kind=asked.kind,
        task=asked.tasks[batch.requested],
        roster_revision=asked.roster_revision,
        agents=asked.agents,
        batch=asked.name,
        max_tokens=asked.max_tokens,
        limits=asked.limits,
        at=session.now(),
    )
    batch.request_run(run.id, at=session.now())
    return run


def _taken_up_again(batch: Batch, session: Session) -> Workflow | None:
    """The next one of those that fell short; None where it cannot be retried."""
    run = session.get(Workflow, batch.again[0])
    try:
        run.retry(batch.new_limits, "its batch is retried", at=session.now())
    except DomainError as refusal:  # it has reached these limits too, or somebody was faster
        batch.pass_over(run.id, str(refusal), at=session.now())
        return None
    batch.retry_run(run.id, at=session.now())
    return run
