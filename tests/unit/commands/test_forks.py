"""A fork begins with what another run has recorded, and goes on with what is changed of its agents."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from adapters.bradley_terry import BradleyTerry
from commands.forks import Change, ForkWorkflow
from commands.policies.propose_pairs import ProposePairs
from commands.workflows import StopWorkflow
from domain.errors import Invalid, NotFound
from domain.limits import Limits
from domain.preference import Preference
from domain.roster import AgentRoster, ModelSpec
from domain.steps import CastMember, Step
from domain.workflow import State, Workflow
from tests.builders import a_reserved_adapter, an_id
from tests.fakes import an_envelope
from tests.played_runs import WORKER, Stage
from tests.scripted_agents import ScriptedAgents, a_spec

SPECS = [a_spec("anna"), a_spec("ben", "verdict"), a_spec("cleo")]
TURNS = ("Why?", "And then?")
ANSWERS, JUDGING = 3 * 2, 2 * 2 + 2


def a_stage() -> Stage:
    stage = Stage(SPECS, promoted={"team": "team@1"})
    session = stage.store.session(an_envelope())
    roster = AgentRoster.begin("", "sha", tuple(SPECS), "", at=session.now())
    roster.revise("", "another sha", (*SPECS, a_spec("poet", adapter="verse")), "a poet joins", at=session.now())
    session.save(roster)
    session.save(a_reserved_adapter("team", 3))
    return stage


async def played(stage: Stage) -> UUID:
    run = stage.request(*TURNS)
    await stage.worker(ScriptedAgents()).play(run)
    assert stage.run(run).state is State.COMPLETED
    return run


def forked(stage: Stage, run: UUID, step: UUID | None, *changes: Change) -> UUID:
    return stage.store.bus().execute(ForkWorkflow(run, step, changes), an_envelope()).id


def last_answer(stage: Stage, run: UUID) -> UUID:
    return [step.id for step in stage.steps(run) if step.phase == "answer"][-1]


def said(steps: list[Step]) -> dict[tuple[str, str, int], object]:
    return {(step.agent, step.phase, step.n): (step.call.output, step.call.score) for step in steps}


async def play(stage: Stage, run: UUID) -> ScriptedAgents:
    agents = ScriptedAgents()
    await stage.worker(agents, "w2").play(run)
    assert stage.run(run).state is State.COMPLETED, stage.events(run)[-1]
    return agents


async def proposed(stage: Stage, run: UUID) -> list[Preference.Proposed]:
    """What the policy proposes once that run is completed."""
    before, policy = stage.store.head(), ProposePairs(stage.store, stage.store.bus().execute, BradleyTerry(), WORKER)
    completed = next(each for each in stage.store.history(run) if isinstance(each.event, Workflow.Completed))
    await policy.handle(completed)
    return [each.event for each in stage.store.read(before) if isinstance(each.event, Preference.Proposed)]


async def test_an_unchanged_fork_says_what_the_run_said_and_pays_for_what_it_does_not_share_alone() -> None:
    stage = a_stage()
    run = await played(stage)
    fork = forked(stage, run, last_answer(stage, run))
    agents = await play(stage, fork)
    assert len(agents.calls) == JUDGING
    judged = {place: what for place, what in said(stage.steps(run)).items() if place[1] != "answer"}
    assert said(stage.steps(fork)) == judged
    assert len(stage.ballots(fork)) == len(stage.ballots(run))


async def test_every_step_can_be_forked_at() -> None:
    stage = a_stage()
    run = await played(stage)
    for done, step in enumerate(stage.steps(run), 1):
        agents = await play(stage, fork := forked(stage, run, step.id))
        assert len(agents.calls) == ANSWERS + JUDGING - done
        assert said(stage.steps(run)).items() >= said(stage.steps(fork)).items()


async def test_a_fork_that_shares_no_step_plays_the_task_anew() -> None:
    stage = a_stage()
    run = await played(stage)
    assert said(stage.steps(run)) == said(stage.steps((await play(stage, fork := forked(stage, run, None)), fork)[1]))


async def test_another_prompt_and_model_count_from_the_fork_on_and_the_rest_of_the_cast_stays() -> None:
    stage = a_stage()
    run = await played(stage)
    stage.promoted = {"team": "team@2"}
    model = {"platform": "embedded", "name": "larger"}
    first = stage.steps(run)[0]
    fork = forked(
        stage, run, first.id, Change("anna", system_message="Be kind."), Change("cleo", model=model), Change("ben")
    )
    agents = await play(stage, fork)
    made = {agent.spec.name: agent for agent in agents.created}
    assert (made["anna"].spec.system_message, made["anna"].adapter) == ("Be kind.", "team@1")
    assert (made["cleo"].spec.model, made["cleo"].adapter) == (ModelSpec("embedded", "larger"), None)
    assert made["ben"].adapter == "team@1"
    assert stage.run(fork).cast == (
        CastMember("anna", "team@1"), CastMember("ben", "team@1"), CastMember("cleo", None)
    )  # fmt: skip
    again = await play(stage, forked(stage, fork, stage.steps(fork)[0].id))
    assert {agent.spec.name: agent.spec for agent in again.created}["anna"].system_message == "Be kind."


async def test_another_agent_takes_ones_place_and_remembers_what_that_one_said() -> None:
    stage = a_stage()
    run = await played(stage)
    first = next(step for step in stage.steps(run) if step.agent == "cleo" and step.n == 0)
    fork = forked(stage, run, first.id, Change("cleo", becomes="poet", adapter=None, pins_adapter=True))
    agents = await play(stage, fork)
    (answer,) = (call for call in agents.calls if call[:2] == ("poet", "answer"))
    assert [message.content for message in answer[2]] == ["Why?", first.call.output, "And then?"]
    assert stage.run(fork).cast[-1] == CastMember("poet", None)
    poet = next(step for step in stage.steps(fork) if step.agent == "poet")
    again = await play(stage, forked(stage, fork, poet.id, Change("poet", becomes="cleo")))
    assert ("cleo", "answer") not in {call[:2] for call in again.calls}, "the poet has answered in its place"


async def test_pairs_of_answers_that_are_shared_are_not_proposed_again() -> None:
    stage = a_stage()
    run = await played(stage)
    assert await proposed(stage, run)
    same = forked(stage, run, last_answer(stage, run))
    await play(stage, same)
    assert not await proposed(stage, same)
    before_last = [step.id for step in stage.steps(run) if step.phase == "answer"][-2]
    other = forked(stage, run, before_last, *(Change(spec.name, system_message="Be brief.") for spec in SPECS))
    await play(stage, other)
    own = {step.id for step in stage.steps(other)}
    assert all({pair.pair.chosen.step, pair.pair.rejected.step} & own for pair in await proposed(stage, other))


async def test_pairs_that_the_first_run_never_came_to_propose_are_proposed_by_its_fork() -> None:
    stage = a_stage()
    run = stage.request(*TURNS, limits=Limits(steps=ANSWERS))
    await stage.worker(ScriptedAgents()).play(run)
    assert stage.run(run).state is State.EXHAUSTED
    fork = stage.store.bus().execute(ForkWorkflow(run, last_answer(stage, run), limits=Limits()), an_envelope()).id
    await play(stage, fork)
    assert await proposed(stage, fork)


async def test_an_answer_stays_its_authors_when_another_agent_takes_ones_place() -> None:
    stage = a_stage()
    run = await played(stage)
    fork = forked(stage, run, last_answer(stage, run), Change("cleo", becomes="poet"))
    await play(stage, fork)
    authors = {step.id: step.agent for step in stage.steps(run)}
    for pair in await proposed(stage, fork):
        for said in (pair.pair.chosen, pair.pair.rejected):
            assert said.step is None or said.agent == authors[said.step]


async def test_a_fork_of_a_fork_that_nobody_took_yet_keeps_what_that_one_pinned() -> None:
    stage = a_stage()
    run = await played(stage)
    first = forked(stage, run, None, Change("anna", adapter=None, pins_adapter=True))
    stage.promoted = {"team": "team@2"}
    second = forked(stage, first, None)
    await play(stage, second)
    assert [member.adapter for member in stage.run(second).cast] == [None, "team@1", "team@1"]


async def test_another_model_begins_without_an_adapter_also_for_an_agent_that_takes_ones_place() -> None:
    stage = a_stage()
    stage.promoted = {"team": "team@1", "verse": "verse@1"}
    run = await played(stage)
    model = {"platform": "embedded", "name": "larger"}
    fork = forked(stage, run, None, Change("cleo", becomes="poet", model=model))
    await play(stage, fork)
    assert stage.run(fork).cast[-1] == CastMember("poet", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("eve"), "not in the run: eve; there is anna, ben, cleo"),
        (Change("anna", becomes="eve"), "not on the roster: eve; there is anna, ben, cleo, poet"),
        (Change("anna", becomes="ben"), "an agent takes part once"),
        (Change("anna", adapter="team@9", pins_adapter=True), "there is no adapter team@9"),
        (Change("anna", adapter="team@3", pins_adapter=True), "team@3 is not there"),
        (
            Change("anna", model={"platform": "openai", "name": "x", "key_env": "OTHER_API_KEY"}),
            "anna: agents.yaml sends nothing to openai with that key; choose an endpoint that it names",
        ),
    ],
)
async def test_changes_that_cannot_be_made_are_refused(change: Change, said: str) -> None:
    stage = a_stage()
    run = await played(stage)
    with pytest.raises(Invalid, match=said):
        forked(stage, run, None, change)


async def test_only_a_runs_own_past_can_be_shared() -> None:
    stage = a_stage()
    run = await played(stage)
    with pytest.raises(Invalid, match="is none of the run's 12 steps"):
        forked(stage, run, an_id("another step"))
    with pytest.raises(NotFound):
        forked(stage, an_id("no run"), None)
    with pytest.raises(Invalid, match="named twice"):
        forked(stage, run, None, Change("anna"), replace(Change("anna"), system_message="!"))


async def test_a_run_that_was_stopped_can_be_forked_with_limits_of_its_own() -> None:
    stage = a_stage()
    run = stage.request(*TURNS, limits=Limits(steps=5))
    stage.store.bus().execute(StopWorkflow(run, ""), an_envelope())
    as_before = stage.run(forked(stage, run, None)).limits
    other = ForkWorkflow(run, None, limits=Limits(tokens=9))
    assert as_before == Limits(steps=5)
    assert stage.run(stage.store.bus().execute(other, an_envelope()).id).limits == Limits(tokens=9)


async def test_a_fork_of_a_workforce_understands_the_plan_and_the_coordinator_that_it_shares() -> None:
    stage = a_stage()
    run = stage.request(*TURNS, kind="workforce")
    await stage.worker(ScriptedAgents()).play(run)
    *_, assigned = [step for step in stage.steps(run) if step.phase == "assign"]
    fork = forked(stage, run, assigned.id, Change("cleo", becomes="poet"))
    agents = await play(stage, fork)
    assert [(name, what) for name, what, _ in agents.calls] == [("ben", "reply"), ("poet", "reply")]
    ours, theirs = ({(step.phase, step.n, step.agent): step for step in stage.steps(each)} for each in (run, fork))
    assert ours["work", 0, "ben"].call == theirs["work", 0, "ben"].call
    assert set(theirs) == {("work", 0, "ben"), ("work", 0, "poet")}
