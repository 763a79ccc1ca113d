"""How a worker takes a run, plays it, loses it and takes it over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from commands.policies.patience import StoreUnavailable
from commands.workflows import CompleteWorkflow, StopWorkflow
from domain.events import ActorKind, Envelope, event_id
from domain.ports.agents import ModelUnavailable
from domain.ports.events import Written
from domain.roster import AgentSpec
from domain.steps import CastMember
from domain.text import is_storable
from domain.workflow import State, Workflow
from tests.fakes import an_envelope
from tests.played_runs import ENVELOPE, WORKER, Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgent, ScriptedAgents, a_spec

TURNS = ("Why?", "And then?")
SPECS = [a_spec("anna"), a_spec("ben", "verdict"), a_spec("cleo"), a_spec("dan", adapter=None)]
CALLS, BALLOTS = 4 * 2 + 3 * 3 + 6, 3 * 3 + 6
"""Answers, the scores of three judges by likelihood, and the verdicts of one; and the ballots of them all."""
COMMANDS = 2 * CALLS + BALLOTS
"""A call is begun and recorded."""


def state(stage: Stage, run: UUID) -> State:
    return stage.run(run).state


async def play(stage: Stage) -> UUID:
    run = stage.request(*TURNS)
    await stage.worker(ScriptedAgents()).play(run)
    return run


async def test_a_requested_run_is_played_to_the_end() -> None:
    stage = Stage(SPECS)
    run = await play(stage)
    assert (len(stage.steps(run)), len(stage.ballots(run))) == (CALLS, BALLOTS)
    completed = stage.events(run)[-1]
    assert isinstance(completed, Workflow.Completed)
    assert (completed.steps, completed.ballots, completed.unparseable) == (CALLS, BALLOTS, 0)


async def test_agents_run_on_what_is_promoted_and_a_takeover_keeps_that() -> None:
    stage = Stage(SPECS, promoted={"team": "team@1"})
    run = stage.request(*TURNS, max_tokens=7)
    with pytest.raises(Crash):
        await stage.worker(ScriptedAgents(), execute=Mortal(stage.store.bus().execute, 3)).play(run)
    stage.promoted = {"team": "team@2"}
    agents = ScriptedAgents()
    await stage.worker(agents, "w2").play(run)
    starts = [event for event in stage.events(run) if isinstance(event, Workflow.Started)]
    assert [(start.worker, start.epoch) for start in starts] == [("w1", 1), ("w2", 2)]
    assert starts[0].cast == starts[1].cast
    assert starts[0].cast == (
        *(CastMember(name, "team@1") for name in ("anna", "ben", "cleo")),
        CastMember("dan", None),
    )
    assert {agent.max_tokens for agent in agents.created} == {7}
    assert {s.call.adapter for s in stage.steps(run) if s.agent != "dan"} == {"team@1"}


async def test_a_step_is_its_agents_and_points_back_to_the_request() -> None:
    stage = Stage(SPECS)
    run = await play(stage)
    for recorded in stage.store.history(run)[1:]:
        envelope = recorded.envelope
        assert envelope.correlation_id == ENVELOPE.correlation_id
        assert envelope.causation_id == event_id(run, 1)
        if isinstance(recorded.event, Workflow.StepRecorded):
            assert (envelope.actor.subject, envelope.actor.kind) == (recorded.event.step.agent, ActorKind.AGENT)
        elif isinstance(recorded.event, Workflow.StepBegun):
            assert (envelope.actor.subject, envelope.actor.kind) == (recorded.event.agent, ActorKind.AGENT)
        elif isinstance(recorded.event, Workflow.BallotCast):
            assert (envelope.actor.subject, envelope.actor.kind) == (recorded.event.ballot.judge, ActorKind.AGENT)
        else:
            assert envelope.actor == WORKER


@given(done=st.integers(0, COMMANDS))
@settings(max_examples=15, deadline=None)
def test_a_run_interrupted_anywhere_is_finished_with_no_recorded_call_made_twice(done: int) -> None:
    async def scenario() -> None:
        unbroken = Stage(SPECS)
        await play(unbroken)

        stage = Stage(SPECS)
        run = stage.request(*TURNS)
        with pytest.raises(Crash):
            await stage.worker(ScriptedAgents(), execute=Mortal(stage.store.bus().execute, done)).play(run)
        recorded, lost = stage.steps(run), stage.run(run).under_way
        second = ScriptedAgents()
        await stage.worker(second, "w2").play(run)

        assert len(second.calls) == len(unbroken.steps(run)) - len(recorded)
        assert {s.id: replace(s, attempt=1) for s in stage.steps(run)} == {s.id: s for s in unbroken.steps(run)}
        assert {s.id: s.attempt for s in stage.steps(run) if s.attempt > 1} == dict.fromkeys(lost, 2)
        assert {b.id: b for b in stage.ballots(run)} == {b.id: b for b in unbroken.ballots(run)}
        assert len(stage.steps(run)) == len(unbroken.steps(run))
        assert len(stage.ballots(run)) == len(unbroken.ballots(run))
        assert state(stage, run) is State.COMPLETED

    asyncio.run(scenario())


async def test_a_run_of_a_living_worker_is_left_to_it() -> None:
    stage = Stage(SPECS, living=frozenset({"w1"}))
    run = stage.request(*TURNS)
    with pytest.raises(Crash):
        await stage.worker(ScriptedAgents(), execute=Mortal(stage.store.bus().execute, 2)).play(run)
    agents = ScriptedAgents()
    await stage.worker(agents, "w2").play(run)
    assert not agents.calls
    assert state(stage, run) is State.RUNNING


async def test_a_worker_goes_on_with_its_own_run_after_an_outage() -> None:
    stage = Stage(SPECS, living=frozenset({"w1"}))
    run = stage.request(*TURNS)
    with pytest.raises(Crash):
        await stage.worker(ScriptedAgents(), execute=Mortal(stage.store.bus().execute, 2)).play(run)
    await stage.worker(ScriptedAgents(), "w1").play(run)
    assert state(stage, run) is State.COMPLETED


async def test_of_two_workers_one_plays_and_the_other_one_stops_quietly() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS)
    await asyncio.gather(*(stage.worker(ScriptedAgents(), name).play(run) for name in ("w1", "w2")))
    assert state(stage, run) is State.COMPLETED
    assert len({step.id for step in stage.steps(run)}) == len(stage.steps(run)) == 8 + 9 + 6


async def test_a_model_that_cannot_be_had_fails_the_run_and_says_why() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS)
    await stage.worker(ScriptedAgents(broken=frozenset({"cleo"}))).play(run)
    failed = stage.events(run)[-1]
    assert isinstance(failed, Workflow.Failed)
    assert failed.reason == "the model's endpoint is gone"


@pytest.mark.parametrize("failures", [3, 6])
async def test_a_store_that_is_away_while_the_roster_is_read_fails_no_run(failures: int) -> None:
    """Three failures are outlived; after more the run is put back, and taken up again by the same worker."""
    stage, outages = Stage(SPECS), [ConnectionError("no database")] * failures
    run = stage.request(*TURNS)
    read = stage.agents

    def shaky(revision: int) -> tuple[AgentSpec, ...]:
        if outages and len(stage.events(run)) > 1:
            raise outages.pop()
        return read(revision)

    stage.agents = shaky  # type: ignore[method-assign]
    worker = stage.worker(ScriptedAgents())
    if failures > 3:
        with pytest.raises(StoreUnavailable):
            await worker.play(run)
        assert state(stage, run) is State.RUNNING
    await worker.play(run)
    assert state(stage, run) is State.COMPLETED


async def test_a_reason_that_postgres_cannot_hold_is_escaped() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS)

    class Refusing(ScriptedAgents):
        def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
            raise ModelUnavailable("it said \x00\ud800" + "!" * 10**6)

    await stage.worker(Refusing()).play(run)
    failed = stage.events(run)[-1]
    assert isinstance(failed, Workflow.Failed)
    assert is_storable(failed.reason)
    assert len(failed.reason) <= 10_000


async def test_what_is_logged_while_a_run_is_played_names_run_and_trace() -> None:
    stage, logged = Stage(SPECS), list[dict[str, Any]]()
    sink = logger.add(lambda message: logged.append(message.record["extra"]))
    run = stage.request(*TURNS)
    await stage.worker(ScriptedAgents(broken=frozenset({"cleo"}))).play(run)
    logger.remove(sink)
    expected = {"run": str(run), "trace_id": "ab" * 16}
    assert any(expected.items() <= extra.items() for extra in logged)


async def test_a_stopped_run_is_let_go_of() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS)
    bus = stage.store.bus()

    def execute(command: object, envelope: Envelope) -> Written:
        if len(stage.steps(run)) == 5 and state(stage, run) is State.RUNNING:
            bus.execute(StopWorkflow(run, "enough"), an_envelope())
        return bus.execute(command, envelope)

    await stage.worker(ScriptedAgents(), execute=execute).play(run)
    assert isinstance(stage.events(run)[-1], Workflow.Stopped)
    assert len(stage.steps(run)) == 5


async def test_runs_that_are_over_or_unknown_are_no_work() -> None:
    stage = Stage(SPECS)
    run = await play(stage)
    before = len(stage.events(run))
    agents = ScriptedAgents()
    await stage.worker(agents, "w2").play(run)
    await stage.worker(agents, "w2").play(uuid4())
    assert len(stage.events(run)) == before
    assert not agents.calls


async def test_what_is_offered_is_played_until_told_to_stop() -> None:
    stage = Stage(SPECS)
    run = stage.request(*TURNS)
    loop, stop, bus = asyncio.get_running_loop(), asyncio.Event(), stage.store.bus()

    def execute(command: object, envelope: Envelope) -> Written:
        written = bus.execute(command, envelope)
        if isinstance(command, CompleteWorkflow):
            loop.call_soon_threadsafe(stop.set)
        return written

    worker = stage.worker(ScriptedAgents(), execute=execute)
    worker.offer(run)
    worker.offer(run)
    await asyncio.wait_for(worker.run(stop), 20)
    assert state(stage, run) is State.COMPLETED
    assert len([event for event in stage.events(run) if isinstance(event, Workflow.Started)]) == 1
