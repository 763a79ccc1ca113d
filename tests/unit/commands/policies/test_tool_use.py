"""Agents use tools: each use is a step between two model calls, and none that is recorded is made again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bradley_terry import BradleyTerry
from commands.forks import Change, ForkWorkflow
from commands.policies.held_run import MOST_ROUNDS
from commands.policies.propose_pairs import ProposePairs
from commands.workflows import BeginStep, RecordTool, StartWorkflow
from domain.errors import LeaseLost
from domain.limits import Limits
from domain.model_call import ToolCall
from domain.preference import Preference
from domain.roster import AgentRoster, AgentSpec
from domain.steps import TOOL, ToolStep, step_id
from domain.workflow import State, Workflow
from tests.fakes import an_envelope
from tests.played_runs import WORKER, Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgents, a_spec

ANNA = a_spec("anna", tools=("a", "b"))
BEN = a_spec("ben")
TURNS = ("Why?",)
TWO_TURNS = Limits(steps=13)
"""Of anna's, seven steps each but for the last, with one of ben's between them."""


def a_stage(*specs: AgentSpec) -> Stage:
    return Stage(specs or (ANNA, BEN))


async def played(stage: Stage, kind: str = "role_playing", limits: Limits = TWO_TURNS) -> UUID:
    run = stage.request(*TURNS, kind=kind, limits=limits)
    await stage.worker(ScriptedAgents()).play(run)
    return run


def places(stage: Stage, run: UUID, agent: str = "anna") -> list[tuple[str, int]]:
    kept = (Workflow.StepRecorded, Workflow.ToolUsed)
    steps = [event.step for event in stage.events(run) if isinstance(event, kept)]
    return [(step.phase, step.n) for step in steps if step.agent == agent]


async def test_each_call_of_the_model_and_of_a_tool_is_a_step_in_its_order() -> None:
    stage = a_stage()
    run = await played(stage)
    turn = [("instruct", 0), ("tool", 0), ("tool", 1), ("instruct", 1), ("tool", 2), ("tool", 3), ("instruct", 2)]
    assert places(stage, run)[:7] == turn
    assert places(stage, run)[7:] == [("instruct", 3), ("tool", 4), ("tool", 5), ("instruct", 4), ("tool", 6)]
    assert places(stage, run, "ben") == [("answer", 0)]


async def test_a_tool_is_asked_for_by_the_model_and_its_result_goes_back_to_it() -> None:
    stage = a_stage()
    run = await played(stage)
    asking, going_on = stage.steps(run)[:2]
    first, second = stage.tools(run)[:2]
    assert [first.call.arguments, second.call.arguments] == [call.arguments for call in asking.call.wanted]
    assert [message.content for message in going_on.call.messages[-2:]] == [first.call.result, second.call.result]
    assert (first.seconds, first.attempt, first.call.error) == (0.5, 1, None)


async def test_the_use_of_a_tool_is_begun_and_counts_against_the_budget_of_steps() -> None:
    stage = a_stage()
    run = await played(stage, limits=Limits(steps=3))
    assert stage.run(run).state is State.EXHAUSTED
    assert places(stage, run) == [("instruct", 0), ("tool", 0), ("tool", 1)]
    begun = [event for event in stage.events(run) if isinstance(event, Workflow.StepBegun)]
    assert [(event.agent, event.phase, event.n) for event in begun] == [("anna", *at) for at in places(stage, run)]


@given(commands=st.integers(0, 2 * 13))
@settings(max_examples=15, deadline=None)
def test_a_worker_killed_anywhere_leaves_no_recorded_tool_to_be_used_again(commands: int) -> None:
    async def scenario() -> None:
        whole = a_stage()
        expected = await played(whole)
        stage, first, second = a_stage(), ScriptedAgents(), ScriptedAgents()
        run = stage.request(*TURNS, kind="role_playing", limits=Limits(steps=13))
        with pytest.raises(Crash):
            await stage.worker(first, execute=Mortal(stage.store.bus().execute, commands)).play(run)
        recorded, lost = stage.tools(run), stage.run(run).under_way
        await stage.worker(second, "w2").play(run)
        assert [replace(step, attempt=1) for step in stage.tools(run)] == whole.tools(expected)
        assert [step.call for step in stage.steps(run)] == [step.call for step in whole.steps(expected)]
        assert sum(what == "tool" for _, what, _ in second.calls) == len(whole.tools(expected)) - len(recorded)
        assert {step.id for step in stage.tools(run) if step.attempt == 2} <= lost.keys()

    asyncio.run(scenario())


async def test_a_zombies_late_tool_is_refused() -> None:
    stage = a_stage()
    run, bus = stage.request(*TURNS, kind="role_playing"), stage.store.bus()
    bus.execute(StartWorkflow(run, "w1", ()), an_envelope())
    bus.execute(BeginStep(run, 1, "anna", TOOL, 0), an_envelope())
    bus.execute(StartWorkflow(run, "w2", ()), an_envelope())
    late = ToolStep(step_id(run, "anna", TOOL, 0), "anna", 0, ToolCall("add", "{}", "3"), 0.1)
    with pytest.raises(LeaseLost):
        bus.execute(RecordTool(run, 1, late), an_envelope())
    assert stage.run(run).attempt_at(late.id) == 2


async def test_after_the_last_round_the_agent_must_answer_in_words() -> None:
    stage = a_stage(a_spec("anna", tools=tuple("abcdefghijkl")), BEN)
    run = stage.request(*TURNS, kind="role_playing", limits=Limits(steps=3 * MOST_ROUNDS + 1))
    await stage.worker(ScriptedAgents()).play(run)
    assert len(stage.tools(run)) == 2 * MOST_ROUNDS
    last = [step for step in stage.steps(run) if step.agent == "anna"][-1]
    assert (last.n, bool(last.call.output), last.call.wanted) == (MOST_ROUNDS, True, ())


async def test_the_answers_that_are_ranked_are_those_after_the_tools() -> None:
    stage = a_stage(ANNA, BEN, a_spec("cleo"))
    run = await played(stage, "mutual_ranking", Limits())
    assert stage.run(run).state is State.COMPLETED
    *_, completed = stage.store.history(run)
    await ProposePairs(stage.store, stage.store.bus().execute, BradleyTerry(), WORKER).handle(completed)
    pairs = [event.event.pair for event in stage.store.read() if isinstance(event.event, Preference.Proposed)]
    answers = {step.id: step.call.output for step in stage.steps(run) if step.phase == "answer"}
    by_anna = [one for pair in pairs for one in (pair.chosen, pair.rejected) if one.agent == "anna"]
    assert by_anna
    assert all(one.messages[-1].content == answers[one.step] != "" for one in by_anna if one.step)


async def test_a_fork_shares_the_tools_that_were_used_before_it() -> None:
    stage = a_stage()
    session = stage.store.session(an_envelope())
    session.save(AgentRoster.begin("", "sha", (ANNA, BEN), "", at=session.now()))
    run = await played(stage)
    second = stage.tools(run)[1]
    fork = (
        stage.store.bus()
        .execute(ForkWorkflow(run, second.id, (Change("ben", system_message="Be kind."),)), an_envelope())
        .id
    )
    agents = ScriptedAgents()
    await stage.worker(agents, "w2").play(fork)
    assert places(stage, fork)[:3] == [("instruct", 1), ("tool", 2), ("tool", 3)]
    assert len(agents.calls) == 13
    assert stage.steps(fork)[0].call.messages == stage.steps(run)[1].call.messages
