"""A store in memory with a roster and a requested run, and workers to play it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from adapters.camel_workforce import CamelWorkforce
from commands.policies.in_logs import in_logs
from commands.policies.kinds import playable
from commands.policies.run_workflow import RunWorkflow
from commands.workflows import StartWorkflow
from domain.errors import DomainError
from domain.events import Actor, ActorKind, Envelope
from domain.limits import NO_LIMITS, Limits
from domain.ports.agents import AgentFactory
from domain.ports.events import Execute, Spans, Written
from domain.ranking import Ballot
from domain.roster import AgentSpec
from domain.steps import Step, Task, ToolStep
from domain.workflow import Workflow
from tests.fakes import MemoryEventStore, an_envelope
from tests.outages import patience

ENVELOPE = replace(an_envelope(), traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
WORKER = Actor("worker", ActorKind.AUTOMATION)
RUN = UUID("01936d3c-6c00-7000-8000-000000000001")


class Crash(DomainError):
    """The worker was killed; nothing that it does from now on reaches the store."""


@dataclass
class Stage:
    """The ports around one run."""

    specs: Sequence[AgentSpec]
    store: MemoryEventStore = field(default_factory=MemoryEventStore)
    promoted: Mapping[str, str] = field(default_factory=dict)
    living: frozenset[str] = frozenset()

    def request(
        self, *turns: str, kind: str = "mutual_ranking", max_tokens: int | None = None, limits: Limits = NO_LIMITS
    ) -> UUID:
        """A run of all agents, always of the same id, so that two stages can be compared."""
        session = self.store.session(ENVELOPE)
        names = tuple(spec.name for spec in self.specs)
        run = Workflow.request(RUN, kind, Task(turns), 1, names, "", max_tokens, session.now(), limits)
        return session.save(run).id

    def worker(
        self,
        agents: AgentFactory,
        name: str = "w1",
        execute: Execute | None = None,
        drain_seconds: float = 20,
        span: Spans = in_logs,
    ) -> RunWorkflow:
        return RunWorkflow(
            log=self.store,
            execute=execute or self.store.bus().execute,
            kinds=playable(CamelWorkforce()),
            agents=agents,
            rosters=self,
            adapters=_Promoted(self.promoted),
            workers=_Living(self.living),
            worker=name,
            actor=WORKER,
            at_once=4,
            patiently=patience(),
            drain_seconds=drain_seconds,
            span=span,
        )

    def agents(self, revision: int) -> tuple[AgentSpec, ...]:
        """The Rosters port."""
        return tuple(self.specs)

    def run(self, id: UUID) -> Workflow:
        """As it is now."""
        run = self.store.load(id)
        assert isinstance(run, Workflow)
        return run

    def topics(self, run: UUID) -> list[str]:
        """`started` of `workflow.started`, in order."""
        return [recorded.type.partition(".")[2] for recorded in self.store.history(run)]

    def events(self, run: UUID) -> list[object]:
        return [recorded.event for recorded in self.store.history(run)]

    def steps(self, run: UUID) -> list[Step]:
        return [event.step for event in self.events(run) if isinstance(event, Workflow.StepRecorded)]

    def tools(self, run: UUID) -> list[ToolStep]:
        return [event.step for event in self.events(run) if isinstance(event, Workflow.ToolUsed)]

    def ballots(self, run: UUID) -> list[Ballot]:
        return [event.ballot for event in self.events(run) if isinstance(event, Workflow.BallotCast)]


@dataclass
class Mortal:
    """Executes that many commands after the run's start, and is then dead."""

    execute: Execute
    commands: int

    def __call__(self, command: object, envelope: Envelope) -> Written:
        if not isinstance(command, StartWorkflow):
            if self.commands == 0:
                raise Crash("killed")
            self.commands -= 1
        return self.execute(command, envelope)


@dataclass
class _Promoted:
    names: Mapping[str, str]

    def promoted(self, alias: str) -> str | None:
        return self.names.get(alias)


@dataclass
class _Living:
    names: frozenset[str]

    def alive(self, worker: str) -> bool:
        return worker in self.names
