"""Agents, and what they play: runs of every kind and end, and a batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from domain.batch import Batch
from domain.limits import Limit, Limits
from domain.model_call import Message, ModelCall, ToolCall, Usage
from domain.ranking import Ballot, Outcome
from domain.roster import AgentRoster, AgentSpec, ModelSpec, Sampling
from domain.steps import TOOL, CastMember, Fork, Step, Task, ToolStep, step_id
from domain.workflow import State, Workflow
from domain.workforce import Report, Told
from tests.story.telling import SHA, at, id_of


def roster() -> AgentRoster:
    model = ModelSpec("embedded", "smollm2-135m-instruct", None, None, Sampling(0.7, 0.9, 64, 1))
    agents = (
        AgentSpec("ada", "poet", "You are a poet.", model, "team", "likelihood"),
        AgentSpec("bob", "critic", "You are a critic.", model, None, "verdict", ("search",)),
    )
    roster = AgentRoster.begin("agents: [ada]\n", SHA, agents[:1], "the first", at=at(0))
    roster.revise("agents: [ada, bob]\n", SHA[::-1], agents, "bob joins", at=at(1))
    return roster


def call(output: str, score: float | None = None) -> ModelCall:
    return ModelCall(
        messages=(Message("system", "You are a poet."), Message("user", 'Write a haiku about "rain".\n100% wet')),
        output=output,
        model="team",
        usage=Usage(21, 13),
        latency=0.25,
        finish_reason="stop",
        adapter="team@1",
        model_revision="smollm2-135m-instruct:abc",
        tool_calls=(ToolCall("search", '{"q": "rain"}', '["wet"]'),),
        score=score,
    )


TASK = Task(("Write a haiku about rain.", "Now about snow."), "haiku-1", "writing")


def _run(name: str) -> Workflow:
    return Workflow.request(
        id=id_of(name),
        kind="mutual_ranking",
        task=TASK,
        roster_revision=2,
        agents=("ada", "bob"),
        batch="first",
        max_tokens=48,
        at=at(10),
    )


CAST = (CastMember("ada", "team@1"), CastMember("bob", None))
RUN = id_of("completed run")
STEPS = {agent: step_id(RUN, agent, "answer", 0) for agent in ("ada", "bob")}
BALLOTS = (id_of("ballot 1"), id_of("ballot 2"))


def completed_run() -> Workflow:
    run = _run("completed run")
    run.start("worker-1", CAST, at=at(11))
    run.start("worker-2", CAST, at=at(12))
    for agent, output in (("ada", "Soft rain — on the roof"), ("bob", "It rains.")):
        run.record_step(2, Step(STEPS[agent], agent, "answer", 0, call(output)), at=at(13))
    score = step_id(RUN, "ada", "score", 0)
    run.record_step(2, Step(score, "ada", "score", 0, call("", score=-1.5)), at=at(14))
    first, second = STEPS["ada"], STEPS["bob"]
    run.cast_ballot(
        2, Ballot(BALLOTS[0], "ada", "likelihood/1", first, second, Outcome.FIRST, (score,), 0.5), at=at(15)
    )
    run.cast_ballot(2, Ballot(BALLOTS[1], "bob", "verdict/1", second, first, Outcome.UNPARSEABLE, ()), at=at(16))
    run.complete(2, at=at(17))
    return run


def failed_run() -> Workflow:
    run = _run("failed run")
    run.start("worker-1", CAST, at=at(11))
    run.fail(1, "the model is gone", at=at(12))
    return run


def stopped_run() -> Workflow:
    run = _run("stopped run")
    run.stop("changed my mind", at=at(12))
    return run


def _limited_run(name: str, limits: Limits, at: datetime) -> Workflow:
    return Workflow.request(id_of(name), "mutual_ranking", TASK, 2, ("ada", "bob"), "", None, at, limits)


def retried_run() -> Workflow:
    """It was paused, let go, lost with a call under way, used up its steps, was given more, and used a tool."""
    run = _limited_run("retried run", Limits(tokens=1000, steps=1, seconds=60, step_seconds=30), at(60))
    run.start("worker-1", CAST, at=at(61))
    run.begin_step(1, "ada", "answer", 0, at=at(62))
    run.pause("a deployment", at=at(63))
    run.release(1, "the run is paused", at=at(64))
    run.resume(at=at(65))
    run.start("worker-2", CAST, at=at(66))
    run.begin_step(2, "ada", "answer", 0, at=at(67))
    first = step_id(run.id, "ada", "answer", 0)
    run.record_step(2, Step(first, "ada", "answer", 0, call("Rain, again"), attempt=2), at=at(68))
    run.end_at(2, Limit.STEPS, None, at=at(69))
    run.retry(Limits(steps=20), "it needs more", at=at(70))
    run.start("worker-2", CAST, at=at(71))
    used = ToolCall("search", '{"q": "rain"}', error="no answer within 60 s", id="call-1")
    run.record_tool(3, ToolStep(step_id(run.id, "ada", TOOL, 0), "ada", 0, used, 60.0), at=at(72))
    return run


def timed_out_run() -> Workflow:
    run = _limited_run("timed out run", Limits(step_seconds=0.5), at(80))
    run.start("worker-1", CAST, at=at(81))
    run.begin_step(1, "bob", "answer", 0, at=at(82))
    run.end_at(1, Limit.STEP_SECONDS, step_id(run.id, "bob", "answer", 0), at=at(83))
    return run


def forked_run() -> Workflow:
    """It shares the completed run's first two answers, and bob has another prompt."""
    (_, bob) = roster().agents
    run = Workflow.request(
        id=id_of("forked run"),
        kind="mutual_ranking",
        task=TASK,
        roster_revision=2,
        agents=("ada", "bob"),
        batch="",
        max_tokens=48,
        at=at(90),
        fork=Fork(
            run=RUN,
            step=STEPS["bob"],
            shared=(STEPS["ada"], STEPS["bob"]),
            specs=(replace(bob, system_message="You are a kind critic."),),
            cast=CAST,
        ),
    )
    run.start("worker-1", CAST, at=at(91))
    score = step_id(run.id, "ada", "score", 0)
    run.record_step(1, Step(score, "ada", "score", 0, call("", score=-1.25)), at=at(92))
    return run


def workforce_run() -> Workflow:
    """Ada has a plan for bob."""
    run = Workflow.request(id_of("workforce run"), "workforce", TASK, 2, ("ada", "bob"), "", None, at=at(80))
    run.start("worker-1", CAST, at=at(81))
    run.report(1, 0, Report(Told.TASK_ASSIGNED, "0.2", "bob", "Now about snow.", ("0.1",)), at=at(82))
    return run


def stopped_batch() -> Batch:
    """Of three tasks, two at once: it comes to its end, is retried, where one run can be, and then stopped."""
    completed, exhausted, timed_out = RUN, id_of("retried run"), id_of("timed out run")
    batch = Batch.request(
        id=id_of("batch"),
        name="second",
        kind="mutual_ranking",
        tasks=(TASK,) * 3,
        roster_revision=2,
        agents=("ada", "bob"),
        max_tokens=48,
        limits=Limits(steps=1),
        at_once=2,
        at=at(100),
    )
    batch.request_run(completed, at=at(100))
    batch.request_run(exhausted, at=at(100))
    batch.pause("lunch", at=at(101))
    batch.note(completed, State.COMPLETED, at=at(102))
    batch.resume(at=at(103))
    batch.request_run(timed_out, at=at(103))
    batch.note(exhausted, State.EXHAUSTED, at=at(104))
    batch.note(timed_out, State.TIMED_OUT, at=at(105))
    batch.complete_if_done(at=at(105))
    batch.retry(Limits(steps=20), "they need more", at=at(106))
    batch.retry_run(exhausted, at=at(106))
    batch.pass_over(timed_out, "it is retried already", at=at(106))
    batch.stop("enough", at=at(107))
    return batch
