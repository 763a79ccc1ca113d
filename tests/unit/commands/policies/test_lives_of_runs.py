"""How a worker meets what becomes of its run: pauses, limits, a stop, the end of the worker itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from commands.policies.run_workflow import RunWorkflow
from commands.workflows import (
    BeginStep,
    EndAtLimit,
    PauseWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    StartWorkflow,
    StopWorkflow,
)
from domain.events import Envelope
from domain.limits import Limit, Limits, TimeLeft
from domain.model_call import ModelCall
from domain.ports.agents import Heard, ModelUnavailable
from domain.ports.events import Written
from domain.roster import AgentSpec
from domain.workflow import MOST_ATTEMPTS, RunPaused, State, Workflow
from tests.eventually import eventually
from tests.fakes import an_envelope
from tests.played_runs import Stage
from tests.scripted_agents import ScriptedAgent, ScriptedAgents, a_spec

SPECS = [a_spec(name) for name in ("anna", "ben", "cleo")]
ANSWERS, SCORES = 3 * 2, 3 * 2
TURNS = ("Why?", "And then?")


@dataclass
class HeldBack:
    """Agents whose answers come when they are let through. `asked` counts those that began."""

    asked: int = 0
    through: asyncio.Event = field(default_factory=asyncio.Event)
    scripted: ScriptedAgents = field(default_factory=ScriptedAgents)

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
        agent, answer = self.scripted.create(spec, adapter, max_tokens), ScriptedAgent.answer

        async def held_back(heard: Heard, tools: bool = True) -> ModelCall:
            self.asked += 1
            await self.through.wait()
            return await answer(agent, heard, tools)

        agent.answer = held_back  # type: ignore[method-assign]
        return agent

    async def all_asked(self) -> None:
        await eventually(lambda: self.asked >= len(SPECS))


def tell(stage: Stage, command: object) -> None:
    stage.store.bus().execute(command, an_envelope())


async def played(agents: ScriptedAgents | None = None) -> tuple[Stage, UUID]:
    """Without a break, for comparison."""
    stage = Stage(SPECS)
    run = stage.request(*TURNS)
    await stage.worker(agents or ScriptedAgents()).play(run)
    return stage, run


def transcript(stage: Stage, run: UUID) -> dict[UUID, tuple[object, ...]]:
    return {step.id: (step.call.messages, step.call.output, step.call.score) for step in stage.steps(run)}


async def test_a_pause_lets_calls_under_way_end_and_the_run_goes_on_as_if_nothing_had_been() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS)
    playing = asyncio.create_task(stage.worker(agents).play(run))
    await agents.all_asked()
    tell(stage, PauseWorkflow(run, "a deployment"))
    agents.through.set()
    await playing

    assert len(stage.steps(run)) == len(SPECS)
    assert stage.topics(run)[-1] == "released"
    assert stage.run(run).state is State.PAUSED
    await stage.worker(agents, "w2").play(run)
    assert stage.topics(run)[-1] == "released", "nobody takes a paused run"

    tell(stage, ResumeWorkflow(run))
    await stage.worker(agents, "w2").play(run)
    assert stage.run(run).state is State.COMPLETED
    assert transcript(stage, run) == transcript(*await played())
    assert {step.attempt for step in stage.steps(run)} == {1}


async def test_a_run_resumed_before_its_worker_let_go_is_let_go_all_the_same_and_pays_for_nothing_twice() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS)
    worker = stage.worker(agents)
    playing = asyncio.create_task(worker.play(run))
    await agents.all_asked()
    tell(stage, PauseWorkflow(run, ""))
    tell(stage, ResumeWorkflow(run))
    agents.through.set()
    await playing
    if not stage.run(run).finished:
        await worker.play(run)
    assert stage.run(run).state is State.COMPLETED
    assert len(agents.scripted.calls) == ANSWERS + SCORES


async def test_a_worker_that_is_told_to_stop_ends_its_calls_and_hands_the_run_over() -> None:
    stage, agents, stop = Stage(SPECS, living=frozenset({"w1"})), HeldBack(), asyncio.Event()
    run = stage.request(*TURNS)
    worker = stage.worker(agents)
    worker.offer(run)
    working = asyncio.create_task(worker.run(stop))
    await agents.all_asked()
    stop.set()
    await asyncio.sleep(0.05)
    agents.through.set()
    await asyncio.wait_for(working, 20)
    assert len(stage.steps(run)) == len(SPECS)
    assert stage.topics(run)[-1] == "released"

    await stage.worker(agents, "w2").play(run)
    assert transcript(stage, run) == transcript(*await played())
    assert {step.attempt for step in stage.steps(run)} == {1}


async def test_a_worker_that_takes_too_long_to_stop_leaves_its_calls_to_be_made_again() -> None:
    stage, agents, stop = Stage(SPECS), HeldBack(), asyncio.Event()
    run = stage.request(*TURNS)
    worker = stage.worker(agents, drain_seconds=0.05)
    worker.offer(run)
    working = asyncio.create_task(worker.run(stop))
    await agents.all_asked()
    stop.set()
    await asyncio.wait_for(working, 20)
    await stage.worker(ScriptedAgents(), "w2").play(run)
    assert transcript(stage, run) == transcript(*await played())
    assert {step.attempt for step in stage.steps(run) if step.phase == "answer" and step.n == 0} == {2}


async def test_a_stopped_run_gives_up_its_calls_at_once() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS)
    worker = stage.worker(agents)
    playing = asyncio.create_task(worker.play(run))
    await agents.all_asked()
    worker.look_again()
    await asyncio.sleep(0.05)
    assert not playing.done(), "it is not stopped yet"
    tell(stage, StopWorkflow(run, "enough"))
    worker.look_again()
    await asyncio.wait_for(playing, 20)
    assert stage.topics(run)[-1] == "stopped"
    assert not stage.steps(run)


async def test_a_run_that_has_used_up_its_steps_is_exhausted_and_goes_on_when_it_may_have_more() -> None:
    stage, agents = Stage(SPECS), ScriptedAgents()
    run = stage.request(*TURNS, limits=Limits(steps=4))
    worker = stage.worker(agents)
    await worker.play(run)
    assert stage.run(run).state is State.EXHAUSTED
    assert len(stage.steps(run)) == len(agents.calls) == 4

    tell(stage, RetryWorkflow(run, Limits(steps=100), "it may have more"))
    await worker.play(run)
    assert stage.run(run).state is State.COMPLETED
    assert transcript(stage, run) == transcript(*await played())
    assert len(agents.calls) == ANSWERS + SCORES


async def test_a_run_that_has_used_up_its_tokens_keeps_what_was_under_way() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS, limits=Limits(tokens=1))
    await stage.worker(ScriptedAgents()).play(run)
    ended = stage.events(run)[-1]
    assert isinstance(ended, Workflow.Exhausted)
    assert ended.used == 5 * len(stage.steps(run))


async def test_a_step_that_takes_too_long_ends_the_run_and_is_named() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS, limits=Limits(step_seconds=0.05))
    await stage.worker(agents).play(run)
    ended = stage.events(run)[-1]
    assert isinstance(ended, Workflow.TimedOut)
    assert (ended.limit, ended.allowed) == (Limit.STEP_SECONDS, 0.05)
    assert ended.step in stage.run(run).under_way


async def test_a_run_that_takes_too_long_is_ended_in_the_middle_of_its_calls() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS, limits=Limits(seconds=0.3))
    await stage.worker(agents).play(run)
    ended = stage.events(run)[-1]
    assert isinstance(ended, Workflow.TimedOut)
    assert (ended.limit, ended.step) == (Limit.SECONDS, None)


async def test_a_run_that_is_resumed_has_the_time_that_it_had_left() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS, limits=Limits(seconds=3600))
    playing = asyncio.create_task(stage.worker(agents).play(run))
    await agents.all_asked()
    tell(stage, PauseWorkflow(run, ""))
    with pytest.raises(RunPaused):
        tell(stage, EndAtLimit(run, 1, Limit.SECONDS))
    tell(stage, ResumeWorkflow(run))
    with pytest.raises(TimeLeft, match="s left"):
        tell(stage, EndAtLimit(run, 1, Limit.SECONDS))
    agents.through.set()
    await playing
    assert stage.run(run).state in (State.COMPLETED, State.REQUESTED)


async def test_a_run_that_is_taken_while_the_worker_stops_is_let_go_of_before_it_costs_anything() -> None:
    stage, agents, stop = Stage(SPECS), ScriptedAgents(), asyncio.Event()
    run, bus = stage.request(*TURNS), stage.store.bus()
    loop = asyncio.get_running_loop()

    def execute(command: object, envelope: Envelope) -> Written:
        if isinstance(command, StartWorkflow):
            loop.call_soon_threadsafe(stop.set)
            time.sleep(0.1)
        return bus.execute(command, envelope)

    worker = stage.worker(agents, execute=execute)
    worker.offer(run)
    await asyncio.wait_for(worker.run(stop), 20)
    assert stage.topics(run) == ["requested", "started", "released"]
    assert not agents.calls


async def test_an_unforeseen_error_of_one_agent_costs_no_answer_of_the_others() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS)

    @dataclass
    class OneIsBroken(HeldBack):
        def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
            agent = agents.create(spec, adapter, max_tokens)
            if spec.name == "ben":

                async def broken(heard: Heard, tools: bool = True) -> ModelCall:
                    asyncio.get_running_loop().call_later(0.05, agents.through.set)
                    raise KeyError(heard)

                agent.answer = broken  # type: ignore[method-assign]
            return agent

    await stage.worker(OneIsBroken()).play(run)
    failed = stage.events(run)[-1]
    assert isinstance(failed, Workflow.Failed)
    assert failed.reason == "KeyError: 'Why?'"
    assert sorted(step.agent for step in stage.steps(run)) == ["anna", "cleo"]


async def test_a_step_that_loses_its_worker_every_time_fails_the_run_in_the_end() -> None:
    stage = Stage(SPECS)
    run = stage.request("Why?")
    for n in range(MOST_ATTEMPTS):
        tell(stage, StartWorkflow(run, f"w{n}", ()))
        tell(stage, BeginStep(run, n + 1, "anna", "answer", 0))
    await stage.worker(ScriptedAgents(), "last").play(run)
    failed = stage.events(run)[-1]
    assert isinstance(failed, Workflow.Failed)
    assert "anna's answer 0 was begun 5 times, and its worker was lost each time" in failed.reason
    tell(stage, RetryWorkflow(run, None, "the worker is mended"))
    await stage.worker(ScriptedAgents(), "last").play(run)
    assert stage.run(run).state is State.COMPLETED


async def test_where_one_model_cannot_be_had_the_answers_under_way_are_kept_and_a_retry_asks_for_the_rest() -> None:
    stage, agents = Stage(SPECS), HeldBack()
    run = stage.request(*TURNS)

    @dataclass
    class OneIsAway(HeldBack):
        def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
            agent = agents.create(spec, adapter, max_tokens)
            if spec.name == "cleo":

                async def away(heard: Heard, tools: bool = True) -> ModelCall:
                    agents.asked += 1
                    asyncio.get_running_loop().call_later(0.05, agents.through.set)
                    raise ModelUnavailable("no cleo today")

                agent.answer = away  # type: ignore[method-assign]
            return agent

    await stage.worker(OneIsAway()).play(run)
    assert stage.run(run).state is State.FAILED
    assert sorted(step.agent for step in stage.steps(run)) == ["anna", "ben"]

    tell(stage, RetryWorkflow(run, None, "cleo is back"))
    again = ScriptedAgents()
    await stage.worker(again).play(run)
    assert stage.run(run).state is State.COMPLETED
    assert len(again.calls) == ANSWERS + SCORES - 2
    assert transcript(stage, run) == transcript(*await played())


@pytest.mark.parametrize("ending", ["workflow.paused", "workflow.stopped"])
async def test_what_the_play_itself_raises_ends_nothing_twice(ending: str) -> None:
    """The run ends or pauses at the very moment when its last step is recorded."""
    stage = Stage(SPECS)
    run = stage.request("Why?")
    bus = stage.store.bus()

    def execute(command: object, envelope: object) -> object:
        if type(command).__name__ == "CompleteWorkflow":
            end = PauseWorkflow(run, "") if ending == "workflow.paused" else StopWorkflow(run, "")
            bus.execute(end, an_envelope())
        return bus.execute(command, envelope)  # type: ignore[arg-type]

    worker: RunWorkflow = stage.worker(ScriptedAgents(), execute=execute)  # type: ignore[arg-type]
    await worker.play(run)
    assert ending.partition(".")[2] in stage.topics(run)[-2:]
    assert "completed" not in stage.topics(run)
