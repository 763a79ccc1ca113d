"""Whenever a workflow was requested, or its worker is gone, play it: several runs at once, each by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.calls_under_way import CALLS_AT_ONCE, LetGo
from commands.policies.held_run import HeldRun
from commands.policies.in_logs import in_logs
from commands.policies.intake import Intake
from commands.policies.kinds import Kind
from commands.policies.past import past_of
from commands.policies.patience import Patience, StoreUnavailable
from commands.policies.run_time import keep_time
from commands.workflows import ReleaseWorkflow, StartWorkflow
from domain.errors import AlreadyDone, LeaseLost, VersionConflict
from domain.events import Actor, Recorded
from domain.limits import LimitReached
from domain.lora_adapter import alias_in_use
from domain.ports.agents import Adapters, AgentFactory, ModelUnavailable, ToolsUnavailable
from domain.ports.events import EventLog, Execute, Spans
from domain.ports.jobs import Workers
from domain.ports.roster import Rosters
from domain.roster import AgentSpec
from domain.steps import CastMember
from domain.workflow import RunPaused, State, Workflow

PUT_BACK_SECONDS = 5.0
DRAIN_SECONDS = 10.0


class RunWorkflow:
    """Plays what it is offered, `at_once` runs at a time, each with `calls_at_once` calls under way at most. `worker`
    is the name under which this process gives its signs of life; `drain_seconds` is how long it may take to let go of
    its runs when it is told to stop, and `drained` is set when that is over."""

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
        drain_seconds: float = DRAIN_SECONDS,
        drained: Event | None = None,
        span: Spans = in_logs,
        calls_at_once: int = CALLS_AT_ONCE,
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
        self._drain_seconds = drain_seconds
        self._drained = drained or Event()
        self._stopping = False
        self._held: set[HeldRun] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._span = span
        self._calls_at_once = calls_at_once
        self._intake = Intake(PUT_BACK_SECONDS)
        self._passed_by: set[str] = set()

    def offer(self, run: UUID) -> None:
        """News or the sweep found that run. To be called on the event loop; a run known already is ignored."""
        self._intake.offer(run)

    def look_again(self) -> None:
        """Some run was stopped. If it is one of ours, its calls under way are given up. To be called on the loop."""
        for held in self._held:
            look = asyncio.create_task(self._leave_if_over(held))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Of the runs under way the calls may then still end, for as long as `drain_seconds`; each
        is left, as it is recorded, to whoever takes it over."""
        players = [asyncio.create_task(self._play_in_turn(stop)) for _ in range(self._at_once)]
        try:
            await stop.wait()
            self._stopping = True
            for held in self._held:
                held.let_go()
            await asyncio.wait(players, timeout=self._drain_seconds)
        finally:
            self._drained.set()
            for player in players:
                player.cancel()
            await asyncio.gather(*players, return_exceptions=True)

    async def _play_in_turn(self, stop: asyncio.Event) -> None:
        async for run in self._intake.offered(stop):
            await self._intake.handled(run, self.play)

    async def play(self, run: UUID) -> None:
        """Plays to the end, unless the run is over, paused, or another living worker has it.

        Raises StoreUnavailable, and what keeps it from being taken.
        """
        taken = await asyncio.to_thread(self._patiently, lambda: self._take(run))
        if taken is None:
            return
        requested, history = taken
        held = HeldRun(requested, history, self._execute, self._actor, self._patiently, self._span, self._calls_at_once)
        self._held.add(held)
        if self._stopping:
            held.let_go()
        with self._span("run-workflow", history[0], run=str(run), epoch=held.run.epoch, worker=self._worker):
            try:
                await self._play(held)
            except RunPaused as paused:
                await self._release(held, paused)
            except LetGo as reason:
                await self._release(held, reason)
            except (LeaseLost, AlreadyDone) as lost:
                logger.info("run {} ends here: {}", run, lost)
            finally:
                self._held.discard(held)

    async def _leave_if_over(self, held: HeldRun) -> None:
        history = await asyncio.to_thread(self._log.history, held.id)
        run = Workflow.after(recorded.event for recorded in history)
        if run.finished:
            held.give_up(f"the run is {run.state}")

    async def _release(self, held: HeldRun, reason: Exception) -> None:
        logger.info("run {} is let go of: {}", held.id, reason)
        with suppress(LeaseLost, AlreadyDone):
            await held.release(str(reason))

    async def _play(self, held: HeldRun) -> None:
        time = asyncio.create_task(keep_time(held))
        try:
            await self._prepare(held)
            await self._kinds[held.run.kind].play(held)
        except (LeaseLost, AlreadyDone, LetGo, StoreUnavailable):
            raise
        except LimitReached as reached:
            logger.warning("run {} ends: {}", held.id, reached)
            await held.end_at(reached.limit, reached.step)
        except (ModelUnavailable, ToolsUnavailable) as error:
            logger.warning("run {} failed: {}", held.id, error)
            await held.fail(str(error))
        except Exception as error:
            logger.exception("run {} failed", held.id)
            await held.fail(f"{type(error).__name__}: {error}")
        else:
            await held.complete()
        finally:
            time.cancel()

    async def _prepare(self, held: HeldRun) -> None:
        requested = held.requested
        held.past = await asyncio.to_thread(self._patiently, lambda: past_of(requested, self._log))
        known = await asyncio.to_thread(self._patiently, lambda: self._specs(requested))
        specs = {spec.name: spec for spec in known}
        held.agents = {
            member.agent: self._agents.create(specs[member.agent], member.adapter, requested.max_tokens)
            for member in held.run.cast
        }

    def _take(self, id: UUID) -> tuple[Workflow.Requested, Sequence[Recorded]] | None:
        """The run's request, and its events up to our taking it; None where it is not ours to take."""
        history = self._log.history(id)
        if not history or not isinstance(requested := history[0].event, Workflow.Requested):
            return None
        run = Workflow.after(recorded.event for recorded in history)
        if run.finished or not self._plays(requested.kind):
            return None
        if run.state is State.PAUSED:
            self._let_go_if_left(run, history[0])
            return None
        if run.worker and run.worker != self._worker and self._workers.alive(run.worker):
            return None
        pinned = {member.agent: member for member in (requested.fork.cast if requested.fork else ())}
        cast = run.cast or tuple(pinned.get(spec.name) or self._cast(spec) for spec in self._specs(requested))
        envelope = history[0].followed_by(self._actor, uuid5(id, f"start/{run.version}/{self._worker}"))
        try:
            written = self._execute(StartWorkflow(id, self._worker, cast, expected_version=run.version), envelope)
        except (VersionConflict, AlreadyDone) as faster:
            logger.info("run {} is not ours: {}", id, faster)
            return None
        return requested, self._log.history(id)[: written.version]

    def _plays(self, kind: str) -> bool:
        if kind in self._kinds:
            return True
        if kind not in self._passed_by:
            self._passed_by.add(kind)
            logger.warning("no worker of this release plays runs of the kind {!r}: they wait for a newer one", kind)
        return False

    def _let_go_if_left(self, run: Workflow, first: Recorded) -> None:
        """A paused run that we hold on paper alone: the store was away when it was to be let go of."""
        if run.worker == self._worker:
            release = ReleaseWorkflow(run.id, run.epoch, "it was paused while the store was away")
            with suppress(LeaseLost, AlreadyDone):
                self._execute(release, first.followed_by(self._actor, uuid5(run.id, f"{run.epoch}/release")))

    def _specs(self, requested: Workflow.Requested) -> list[AgentSpec]:
        """Those who take part, as the revision that the run is pinned to describes them, or its fork."""
        own = requested.fork.specs if requested.fork else ()
        specs = {spec.name: spec for spec in (*self._rosters.agents(requested.roster_revision), *own)}
        return [specs[name] for name in requested.agents]

    def _cast(self, spec: AgentSpec) -> CastMember:
        return CastMember(
            spec.name, self._adapters.promoted(alias_in_use(spec.adapter) or spec.adapter) if spec.adapter else None
        )
