"""What every kind of runs promises: it comes to an end, and it can be cut off anywhere and taken up again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.policies.kinds import KINDS
from commands.workflows import PauseWorkflow, ResumeWorkflow, RetryWorkflow
from domain.events import Envelope
from domain.limits import NO_LIMITS, Limits
from domain.ports.events import Written
from domain.ranking import Ballot
from domain.steps import Step, ToolStep
from domain.workflow import State, Workflow
from domain.workforce import Report
from tests.fakes import an_envelope
from tests.played_runs import Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgents, a_spec

TURNS = ("Why is the sky blue?", "And at night?")
NAMES = ["anna", "ben", "cleo", "dan", "eve", "finn", "gus", "hal", "ida", "jo", "kim", "lou"]
CUTS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

Transcript = tuple[dict[UUID, tuple[object, ...]], dict[UUID, Ballot], list[Report]]


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def a_stage(kind: str) -> Stage:
    """With as few agents as it takes. Every other one uses tools in each turn."""
    ballots = ("likelihood", "verdict", "likelihood")
    names = NAMES[: KINDS[kind].fewest_agents]
    return Stage([a_spec(name, ballots[n % 3], tools=("a", "b")[: n % 2]) for n, name in enumerate(names)])


def transcript(stage: Stage, run: UUID) -> Transcript:
    steps = {step.id: (step.agent, step.phase, step.n, step.call) for step in made(stage, run)}
    reports = [event.report for event in stage.events(run) if isinstance(event, Workflow.WorkforceReported)]
    return steps, {ballot.id: ballot for ballot in stage.ballots(run)}, reports


def made(stage: Stage, run: UUID) -> list[Step | ToolStep]:
    return [*stage.steps(run), *stage.tools(run)]


async def unbroken(kind: str) -> tuple[Transcript, int]:
    """What a run of that kind says, and how many commands it takes."""
    stage, commands = a_stage(kind), list[object]()
    run = stage.request(*TURNS, kind=kind)

    def execute(command: object, envelope: Envelope) -> Written:
        commands.append(command)
        return stage.store.bus().execute(command, envelope)

    await stage.worker(ScriptedAgents(), execute=execute).play(run)
    assert stage.run(run).state is State.COMPLETED
    return transcript(stage, run), len(commands)


async def test_it_comes_to_an_end_and_says_the_same_every_time(kind: str) -> None:
    assert await unbroken(kind) == await unbroken(kind)


async def test_the_steps_of_an_agent_are_numbered_without_a_gap(kind: str) -> None:
    (steps, *_), _ = await unbroken(kind)
    numbers = defaultdict(set)
    for agent, phase, n, _ in steps.values():
        numbers[agent, phase].add(n)
    assert steps
    assert all(seen == set(range(len(seen))) for seen in numbers.values())


@CUTS
@given(data=st.data())
def test_cut_off_anywhere_it_goes_on_without_making_a_recorded_call_again(kind: str, data: st.DataObject) -> None:
    async def scenario() -> None:
        whole, commands = await unbroken(kind)
        stage = a_stage(kind)
        run = stage.request(*TURNS, kind=kind)
        lives = data.draw(st.integers(0, commands - 2), label="commands before the worker dies")
        with pytest.raises(Crash):
            await stage.worker(ScriptedAgents(), execute=Mortal(stage.store.bus().execute, lives)).play(run)
        recorded, second = len(made(stage, run)), ScriptedAgents()
        await stage.worker(second, "w2").play(run)
        assert transcript(stage, run) == whole
        assert len(second.calls) == len(whole[0]) - recorded

    asyncio.run(scenario())


@CUTS
@given(data=st.data())
def test_paused_anywhere_it_goes_on_as_if_nothing_had_been_and_makes_no_call_twice(
    kind: str, data: st.DataObject
) -> None:
    async def scenario() -> None:
        whole, commands = await unbroken(kind)
        stage, agents, executed = a_stage(kind), ScriptedAgents(), list[object]()
        run, bus = stage.request(*TURNS, kind=kind), stage.store.bus()
        pause_at = data.draw(st.integers(1, commands - 1), label="commands before the pause")

        def execute(command: object, envelope: Envelope) -> Written:
            executed.append(command)
            if len(executed) == pause_at + 1:
                bus.execute(PauseWorkflow(run, ""), an_envelope())
            return bus.execute(command, envelope)

        await stage.worker(agents, execute=execute).play(run)
        assert stage.run(run).state is State.PAUSED
        bus.execute(ResumeWorkflow(run), an_envelope())
        await stage.worker(agents, "w2").play(run)
        assert transcript(stage, run) == whole
        assert len(agents.calls) == len(whole[0])

    asyncio.run(scenario())


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_it_keeps_within_its_steps_and_goes_on_when_it_may_have_more(kind: str, steps: int) -> None:
    whole, _ = await unbroken(kind)
    stage, agents = a_stage(kind), ScriptedAgents()
    run = stage.request(*TURNS, kind=kind, limits=Limits(steps=steps))
    worker = stage.worker(agents)
    await worker.play(run)
    assert stage.run(run).state is State.EXHAUSTED
    assert len(made(stage, run)) == len(agents.calls) == steps
    stage.store.bus().execute(RetryWorkflow(run, NO_LIMITS, ""), an_envelope())
    await worker.play(run)
    assert transcript(stage, run) == whole
