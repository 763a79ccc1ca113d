"""A run makes few calls at a time, so that whatever ends or pauses it in a long phase ends it soon, and what waits for
its turn is neither begun nor paid for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from loguru import logger

from commands.policies.calls_under_way import CALLS_AT_ONCE
from commands.policies.patience import StoreUnavailable
from commands.workflows import BeginStep, PauseWorkflow, ReleaseWorkflow, ResumeWorkflow, RetryWorkflow, StartWorkflow
from domain.events import Envelope
from domain.limits import Limits
from domain.model_call import ModelCall
from domain.ports.events import Written
from domain.roster import AgentSpec
from domain.workflow import MOST_ATTEMPTS, State, Workflow
from tests.eventually import eventually
from tests.fakes import an_envelope
from tests.played_runs import Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgent, ScriptedAgents, a_spec

TEAM = [a_spec(f"agent-{n}", ballot="verdict") for n in range(6)]
VERDICTS = 6 * 5 * 4


@dataclass
class SlowJudges:
    """Agents whose verdicts come one by one, as they are let through. `asked` counts those that began."""

    asked: int = 0
    through: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    scripted: ScriptedAgents = field(default_factory=ScriptedAgents)

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
        agent, compare = self.scripted.create(spec, adapter, max_tokens), ScriptedAgent.compare

        async def slow(asked: str) -> ModelCall:
            self.asked += 1
            await self.through.acquire()
            return await compare(agent, asked)

        agent.compare = slow  # type: ignore[method-assign]
        return agent

    async def busy(self) -> None:
        await eventually(lambda: self.asked >= CALLS_AT_ONCE)

    def let_through(self, calls: int = 10 * VERDICTS) -> None:
        for _ in range(calls):
            self.through.release()


def tell(stage: Stage, command: object) -> None:
    stage.store.bus().execute(command, an_envelope())


def begun(stage: Stage, run: UUID) -> int:
    return stage.topics(run).count("step_begun")


async def test_of_many_verdicts_few_are_asked_for_at_a_time() -> None:
    stage, judges = Stage(TEAM), SlowJudges()
    run = stage.request("Why?")
    playing = asyncio.create_task(stage.worker(judges).play(run))
    await judges.busy()
    await asyncio.sleep(0.05)
    assert judges.asked == CALLS_AT_ONCE
    assert begun(stage, run) == len(TEAM) + CALLS_AT_ONCE
    judges.let_through()
    await playing
    assert stage.run(run).state is State.COMPLETED
    assert judges.asked == VERDICTS


async def test_a_budget_is_kept_but_for_the_calls_under_way() -> None:
    stage = Stage(TEAM)
    run = stage.request("Why?", limits=Limits(tokens=100))
    await stage.worker(ScriptedAgents()).play(run)
    assert stage.run(run).state is State.EXHAUSTED
    assert 100 <= stage.run(run).tokens < 100 + CALLS_AT_ONCE * 5


async def test_a_pause_in_the_middle_of_the_verdicts_lets_only_those_under_way_end() -> None:
    stage, judges = Stage(TEAM), SlowJudges()
    run = stage.request("Why?")
    playing = asyncio.create_task(stage.worker(judges).play(run))
    await judges.busy()
    tell(stage, PauseWorkflow(run, ""))
    judges.let_through()
    await playing
    assert stage.topics(run)[-1] == "released"
    assert judges.asked == len(stage.ballots(run)) + len(stage.run(run).under_way) == CALLS_AT_ONCE
    assert not stage.run(run).under_way

    tell(stage, ResumeWorkflow(run))
    await stage.worker(judges, "w2").play(run)
    assert len(stage.ballots(run)) == VERDICTS
    assert {step.attempt for step in stage.steps(run)} == {1}


async def test_a_worker_that_is_told_to_stop_hands_over_a_long_phase() -> None:
    stage, judges, stop = Stage(TEAM), SlowJudges(), asyncio.Event()
    run = stage.request("Why?")
    worker = stage.worker(judges)
    worker.offer(run)
    working = asyncio.create_task(worker.run(stop))
    await judges.busy()
    stop.set()
    await asyncio.sleep(0.05)
    judges.let_through()
    await asyncio.wait_for(working, 20)
    assert stage.topics(run)[-1] == "released"
    assert judges.asked == CALLS_AT_ONCE


async def test_a_run_outlives_more_workers_than_a_step_has_attempts_as_long_as_each_gets_on() -> None:
    stage = Stage(TEAM)
    run = stage.request("Why?")
    for life in range(MOST_ATTEMPTS + 1):
        with pytest.raises(Crash):
            await stage.worker(ScriptedAgents(), f"w{life}", Mortal(stage.store.bus().execute, 50)).play(run)
    await stage.worker(ScriptedAgents(), "last").play(run)
    assert stage.run(run).state is State.COMPLETED


async def test_a_run_that_was_paused_while_the_store_was_away_is_let_go_of_when_it_is_back() -> None:
    stage, judges = Stage(TEAM), SlowJudges()
    run, bus, away = stage.request("Why?"), stage.store.bus(), True

    def execute(command: object, envelope: Envelope) -> Written:
        if away and isinstance(command, ReleaseWorkflow):
            raise StoreUnavailable("no route to the database")
        return bus.execute(command, envelope)

    worker = stage.worker(judges, execute=execute)
    playing = asyncio.create_task(worker.play(run))
    await judges.busy()
    tell(stage, PauseWorkflow(run, ""))
    judges.let_through()
    with pytest.raises(StoreUnavailable):
        await playing
    assert stage.run(run).worker == "w1"

    away = False
    await worker.play(run)
    assert stage.topics(run)[-1] == "released"
    tell(stage, ResumeWorkflow(run))
    assert stage.run(run).state is State.REQUESTED, "any worker may take it"


async def test_a_kind_that_only_newer_workers_know_is_left_to_them_and_the_log_says_so_once() -> None:
    stage, warnings = Stage(TEAM), list[str]()
    run = stage.request("Why?", kind="debate")
    worker = stage.worker(ScriptedAgents())
    sink = logger.add(lambda message: warnings.append(message.record["message"]), level="WARNING")
    try:
        for _ in range(2):
            await worker.play(run)
    finally:
        logger.remove(sink)
    assert stage.topics(run) == ["requested"]
    assert warnings == ["no worker of this release plays runs of the kind 'debate': they wait for a newer one"]


async def test_a_step_that_is_made_again_after_a_retry_says_so_and_has_all_its_attempts_again() -> None:
    stage, judges = Stage(TEAM), SlowJudges()
    run = stage.request("Why?", limits=Limits(step_seconds=0.05))
    await stage.worker(judges).play(run)
    given_up = set(stage.run(run).under_way)
    assert stage.run(run).state is State.TIMED_OUT
    assert given_up

    tell(stage, RetryWorkflow(run, Limits(step_seconds=60), "it has more time now"))
    again = next(
        event for event in stage.events(run) if isinstance(event, Workflow.StepBegun) and event.step in given_up
    )
    for n in range(MOST_ATTEMPTS - 1):
        tell(stage, StartWorkflow(run, f"killed-{n}", ()))
        tell(stage, BeginStep(run, stage.run(run).epoch, again.agent, again.phase, again.n))
    await stage.worker(ScriptedAgents(), "last").play(run)
    assert stage.run(run).state is State.COMPLETED
    attempts = {step.id: step.attempt for step in stage.steps(run) if step.attempt > 1}
    assert attempts == dict.fromkeys(given_up, 2) | {again.step: MOST_ATTEMPTS + 1}
