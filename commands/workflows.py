"""What may be asked of workflow runs: by people, who start, hold and stop them, and by the worker that plays them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.errors import Invalid
from domain.limits import NO_LIMITS, Limit, Limits
from domain.ports.events import Session, Written
from domain.ranking import Ballot
from domain.roster import ROSTER_ID, AgentRoster
from domain.steps import CastMember, Step, Task, ToolStep
from domain.workflow import Workflow
from domain.workforce import Report


@dataclass(frozen=True, slots=True)
class RequestWorkflow:
    """`agents` empty: everybody on the roster. `batch` groups runs that belong together."""

    kind: str
    task: Task
    agents: tuple[str, ...] = ()
    batch: str = ""
    max_tokens: int | None = None
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class StartWorkflow:
    """`expected_version`: where the run stood when it was found without a worker, so that of two takers one wins."""

    run: UUID
    worker: str
    cast: tuple[CastMember, ...]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class BeginStep:
    run: UUID
    epoch: int
    agent: str
    phase: str
    n: int


@dataclass(frozen=True, slots=True)
class RecordStep:
    run: UUID
    epoch: int
    step: Step


@dataclass(frozen=True, slots=True)
class RecordTool:
    run: UUID
    epoch: int
    step: ToolStep


@dataclass(frozen=True, slots=True)
class CastBallot:
    run: UUID
    epoch: int
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class ReportWorkforce:
    """`n` counts the run's reports from 0."""

    run: UUID
    epoch: int
    n: int
    report: Report


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
class EndAtLimit:
    """`step`: the one that took too long."""

    run: UUID
    epoch: int
    limit: Limit
    step: UUID | None = None


@dataclass(frozen=True, slots=True)
class ReleaseWorkflow:
    run: UUID
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class PauseWorkflow:
    run: UUID
    reason: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ResumeWorkflow:
    run: UUID
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RetryWorkflow:
    """`limits` None: those that it had."""

    run: UUID
    limits: Limits | None
    reason: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class StopWorkflow:
    run: UUID
    reason: str
    expected_version: int | None = None


class Castable(Protocol):
    """What a request must know of a kind of runs."""

    @property
    def fewest_agents(self) -> int:
        """With fewer there is nothing to do."""

    @property
    def most_agents(self) -> int:
        """More have no part in it."""


class Requesting:
    """Starts runs of the kinds that workers know how to play, by their names."""

    def __init__(self, kinds: Mapping[str, Castable]) -> None:
        self._kinds = kinds

    def __call__(self, command: RequestWorkflow, session: Session) -> Written:
        """Raises NotFound without a roster, Invalid for an unknown kind or agent, and for too few agents."""
        revision, agents = team_of(self._kinds, command.kind, command.agents, session)
        run = Workflow.request(
            id=session.new_id(),
            kind=command.kind,
            task=command.task,
            roster_revision=revision,
            agents=agents,
            batch=command.batch,
            max_tokens=command.max_tokens,
            limits=command.limits,
            at=session.now(),
        )
        return session.save(run)


def team_of(
    kinds: Mapping[str, Castable], kind: str, agents: tuple[str, ...], session: Session
) -> tuple[int, tuple[str, ...]]:
    """The roster's revision, and who of it takes part in a run of that kind; no `agents`: everybody.

    Raises NotFound without a roster, Invalid for an unknown kind or agent, and for too few or too many agents.
    """
    if kind not in kinds:
        raise Invalid(f"there is no kind {kind!r}; there is {', '.join(sorted(kinds))}")
    roster = session.get(AgentRoster, ROSTER_ID)
    known = [agent.name for agent in roster.agents]
    if unknown := set(agents) - set(known):
        raise Invalid(f"not on the roster: {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    team, wanted = agents or tuple(known), kinds[kind]
    if not wanted.fewest_agents <= len(team) <= wanted.most_agents:
        amount = _amount(wanted.fewest_agents, wanted.most_agents)
        raise Invalid(f"{kind} needs {amount} agents; these are {len(team)}: name those who shall take part")
    return roster.version, team


def _amount(fewest: int, most: int) -> str:
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def start(command: StartWorkflow, session: Session) -> Written:
    """A worker takes the run, or takes it over.

    Raises NotFound, VersionConflict (another worker was faster), AlreadyDone (the run is over).
    """
    run = session.get(Workflow, command.run, command.expected_version)
    run.start(command.worker, command.cast, at=session.now())
    return session.save(run)


def begin_step(command: BeginStep, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), RunPaused, LimitReached."""
    run = session.get(Workflow, command.run)
    run.begin_step(command.epoch, command.agent, command.phase, command.n, at=session.now())
    return session.save(run)


def record_step(command: RecordStep, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.record_step(command.epoch, command.step, at=session.now())
    return session.save(run)


def record_tool(command: RecordTool, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.record_tool(command.epoch, command.step, at=session.now())
    return session.save(run)


def cast_ballot(command: CastBallot, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), Invalid (unknown steps)."""
    run = session.get(Workflow, command.run)
    run.cast_ballot(command.epoch, command.ballot, at=session.now())
    return session.save(run)


def report(command: ReportWorkforce, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), Invalid (before its turn)."""
    run = session.get(Workflow, command.run)
    run.report(command.epoch, command.n, command.report, at=session.now())
    return session.save(run)


def complete(command: CompleteWorkflow, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), RunPaused."""
    run = session.get(Workflow, command.run)
    run.complete(command.epoch, at=session.now())
    return session.save(run)


def fail(command: FailWorkflow, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), RunPaused."""
    run = session.get(Workflow, command.run)
    run.fail(command.epoch, command.reason, at=session.now())
    return session.save(run)


def end_at_limit(command: EndAtLimit, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over), RunPaused."""
    run = session.get(Workflow, command.run)
    run.end_at(command.epoch, command.limit, command.step, at=session.now())
    return session.save(run)


def release(command: ReleaseWorkflow, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(Workflow, command.run)
    run.release(command.epoch, command.reason, at=session.now())
    return session.save(run)


def pause(command: PauseWorkflow, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the run is over, RunPaused when it is paused already."""
    run = session.get(Workflow, command.run, command.expected_version)
    run.pause(command.reason, at=session.now())
    return session.save(run)


def resume(command: ResumeWorkflow, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the run is not paused."""
    run = session.get(Workflow, command.run, command.expected_version)
    run.resume(at=session.now())
    return session.save(run)


def retry(command: RetryWorkflow, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone unless the run fell short, Invalid for limits it has reached."""
    run = session.get(Workflow, command.run, command.expected_version)
    run.retry(command.limits, command.reason, at=session.now())
    return session.save(run)


def stop(command: StopWorkflow, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the run is over."""
    run = session.get(Workflow, command.run, command.expected_version)
    run.stop(command.reason, at=session.now())
    return session.save(run)
