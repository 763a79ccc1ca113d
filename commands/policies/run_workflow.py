"""Whenever a workflow was requested, or its worker is gone, play it: several runs at once, each by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.held_run import HeldRun
from commands.policies.intake import Intake
from commands.policies.kinds import Kind
from commands.policies.patience import Patience, StoreUnavailable
from commands.workflows import StartWorkflow
from domain.errors import AlreadyDone, LeaseLost, VersionConflict
from domain.events import Actor, Recorded
from domain.ports import Adapters, AgentFactory, EventLog, Execute, ModelUnavailable, Rosters, Workers
from domain.roster import AgentSpec
from domain.workflow import CastMember, Workflow

ENDINGS = (Workflow.Completed, Workflow.Failed, Workflow.Stopped)
PUT_BACK_SECONDS = 5.0


class RunWorkflow:
    """Plays what it is offered, `at_once` runs at a time. `worker` is the name under which this process gives its signs
    of life."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        kinds: Mapping[str, Kind],
        agents: AgentFactory,
        rosters: Rosters,
        adapters: Adapters,
        workers: Workers,
        worker: str,
        actor: Actor,
        at_once: int,
        patiently: Patience,
    ) -> None:
        self._log = log
        self._execute = execute
        self._kinds = kinds
        self._agents = agents
        self._rosters = rosters
        self._adapters = adapters
        self._workers = workers
        self._worker = worker
        self._actor = actor
        self._at_once = at_once
        self._patiently = patiently
        self._intake = Intake(PUT_BACK_SECONDS)

    def offer(self, run: UUID) -> None:
        """News or the sweep found that run. To be called on the event loop; a run known already is ignored."""
        self._intake.offer(run)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. The runs under way are then left, as they are recorded, to whoever takes them over."""
        players = [asyncio.create_task(self._play_in_turn(stop)) for _ in range(self._at_once)]
        await stop.wait()
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)

    async def _play_in_turn(self, stop: asyncio.Event) -> None:
        async for run in self._intake.offered(stop):
            await self._intake.handled(run, self.play)

    async def play(self, run: UUID) -> None:
        """Plays to the end, unless the run is over or another living worker has it.

        Raises StoreUnavailable, and what keeps it from being taken.
        """
        match await asyncio.to_thread(self._patiently, lambda: self._take(run)):
            case [
                Recorded(event=Workflow.Requested() as requested),
                *_,
                Recorded(event=Workflow.Started(epoch=epoch, cast=cast)),
            ] as history:
                held = HeldRun(history, requested.task, epoch, self._execute, self._actor, self._patiently)
                with logger.contextualize(run=str(run), trace_id=history[0].trace_id):
                    try:
                        await self._play(held, requested, cast)
                    except (LeaseLost, AlreadyDone) as lost:
                        logger.info("run {} ends here: {}", run, lost)

    async def _play(self, held: HeldRun, requested: Workflow.Requested, cast: Sequence[CastMember]) -> None:
        try:
            known = await asyncio.to_thread(self._patiently, lambda: self._specs(requested))
            specs = {spec.name: spec for spec in known}
            held.agents = {
                member.agent: self._agents.create(specs[member.agent], member.adapter, requested.max_tokens)
                for member in cast
            }
            await self._kinds[requested.kind].play(held)
        except (LeaseLost, AlreadyDone, StoreUnavailable):
            raise
        except ModelUnavailable as error:
            logger.warning("run {} failed: {}", held.id, error)
            await held.fail(str(error))
        except Exception as error:
            logger.exception("run {} failed", held.id)
            await held.fail(f"{type(error).__name__}: {error}")
        else:
            await held.complete()

    def _take(self, run: UUID) -> list[Recorded]:
        """The run's events up to our taking it; none where it is not ours to take."""
        history = self._log.history(run)
        if not history or not isinstance(requested := history[0].event, Workflow.Requested):
            return []
        starts = [recorded.event for recorded in history if isinstance(recorded.event, Workflow.Started)]
        if any(isinstance(recorded.event, ENDINGS) for recorded in history):
            return []
        if starts and starts[-1].worker != self._worker and self._workers.alive(starts[-1].worker):
            return []
        cast = starts[0].cast if starts else tuple(map(self._cast, self._specs(requested)))
        version = len(history)
        envelope = history[0].followed_by(self._actor, uuid5(run, f"start/{version}/{self._worker}"))
        try:
            written = self._execute(StartWorkflow(run, self._worker, cast, expected_version=version), envelope)
        except (VersionConflict, AlreadyDone) as faster:
            logger.info("run {} is not ours: {}", run, faster)
            return []
        return list(self._log.history(run)[: written.version])

    def _specs(self, requested: Workflow.Requested) -> list[AgentSpec]:
        """Those who take part, as the revision that the run is pinned to describes them."""
        specs = {spec.name: spec for spec in self._rosters.agents(requested.roster_revision)}
        return [specs[name] for name in requested.agents]

    def _cast(self, spec: AgentSpec) -> CastMember:
        return CastMember(spec.name, self._adapters.promoted(spec.adapter) if spec.adapter else None)
