"""What may be asked of workflow runs: by people (start, stop) and by the worker that plays them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from domain.errors import Invalid
from domain.ports import Session, Written
from domain.ranking import Ballot
from domain.roster import ROSTER_ID, AgentRoster
from domain.workflow import CastMember, Step, Task, Workflow


@dataclass(frozen=True, slots=True)
class RequestWorkflow:
    """`agents` empty: everybody on the roster. `batch` groups runs that belong together."""

    kind: str
    task: Task
    agents: tuple[str, ...] = ()
    batch: str = ""
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class StartWorkflow:
    """`expected_version`: where the run stood when it was found without a worker, so that of two takers one wins."""

    run: UUID
    worker: str
    cast: tuple[CastMember, ...]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RecordStep:
    run: UUID
    epoch: int
    step: Step


@dataclass(frozen=True, slots=True)
class CastBallot:
    run: UUID
    epoch: int
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class CompleteWorkflow:
    run: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class FailWorkflow:
    run: UUID
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class StopWorkflow:
    run: UUID
    reason: str
    expected_version: int | None = None


class Requesting:
    """Starts runs of the kinds that workers know how to play."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = kinds

    def __call__(self, command: RequestWorkflow, session: Session) -> Written:
        """Raises NotFound without a roster, Invalid for an unknown kind or agent."""
        if command.kind not in self._kinds:
            raise Invalid(f"there is no kind {command.kind!r}; there is {', '.join(sorted(self._kinds))}")
        roster = session.get(AgentRoster, ROSTER_ID)
        known = [agent.name for agent in roster.agents]
        if unknown := set(command.agents) - set(known):
            raise Invalid(f"not on the roster: {', '.join(sorted(unknown))}; there is {', '.join(known)}")
        run = Workflow.request(
            id=session.new_id(),
            kind=command.kind,
            task=command.task,
            roster_revision=roster.version,
            agents=command.agents or tuple(known),
            batch=command.batch,
            max_tokens=command.max_tokens,
            at=session.now(),
        )
        return session.save(run)


def start(command: StartWorkflow, session: Session) -> Written:
    """A worker takes the run, or takes it over.

    Raises NotFound, VersionConflict (another worker was faster), AlreadyDone (the run is over).
    """
    run = session.get(Workflow, command.run, command.expected_version)
    run.start(command.worker, command.cast, at=session.now())
    return session.save(run)


def record_step(command: RecordStep, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.record_step(command.epoch, command.step, at=session.now())
    return session.save(run)


def cast_ballot(command: CastBallot, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), Invalid (unknown steps)."""
    run = session.get(Workflow, command.run)
    run.cast_ballot(command.epoch, command.ballot, at=session.now())
    return session.save(run)


def complete(command: CompleteWorkflow, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.complete(command.epoch, at=session.now())
    return session.save(run)


def fail(command: FailWorkflow, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.fail(command.epoch, command.reason, at=session.now())
    return session.save(run)


def stop(command: StopWorkflow, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the run is over."""
    run = session.get(Workflow, command.run, command.expected_version)
    run.stop(command.reason, at=session.now())
    return session.save(run)
