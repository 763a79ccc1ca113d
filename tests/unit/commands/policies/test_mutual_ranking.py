"""Who judges what in a mutual ranking, and what a judge gets to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.policies.judging import Answer, along_a_ring
from commands.policies.mutual_ranking import seen_by
from domain.ranking import Outcome
from domain.workflow import State, Workflow
from tests.played_runs import Stage
from tests.scripted_agents import ScriptedAgents, a_spec

NAMES = ["anna", "ben", "cleo", "dan", "eve", "finn"]


async def played(stage: Stage, *turns: str) -> UUID:
    run = stage.request(*turns)
    await stage.worker(ScriptedAgents()).play(run)
    workflow = stage.store.load(run)
    assert isinstance(workflow, Workflow)
    assert workflow.state is State.COMPLETED
    return run


def shuffled_by(run: UUID) -> Callable[[str, str], UUID]:
    return lambda judge, author: uuid5(run, f"{judge} sees {author}")


@given(run=st.uuids(), names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
def test_a_judge_sees_every_answer_but_its_own(run: UUID, names: list[str]) -> None:
    answers = [Answer(name, UUID(int=n), ()) for n, name in enumerate(names)]
    for judge in names:
        assert sorted(a.agent for a in seen_by(judge, answers, shuffled_by(run))) == sorted(set(names) - {judge})


@given(run=st.uuids(), data=st.data())
def test_the_order_follows_from_run_and_judge_alone(run: UUID, data: st.DataObject) -> None:
    answers = [Answer(name, UUID(int=n), ()) for n, name in enumerate(NAMES)]
    shuffled = data.draw(st.permutations(answers))
    assert seen_by("anna", answers, shuffled_by(run)) == seen_by("anna", shuffled, shuffled_by(run))


def test_over_many_runs_every_answer_stands_first_about_equally_often() -> None:
    answers = [Answer(name, UUID(int=n), ()) for n, name in enumerate(NAMES[:4])]
    first = Counter(seen_by("anna", answers, shuffled_by(UUID(int=run)))[0].agent for run in range(600))
    assert all(150 < first[name] < 250 for name in ("ben", "cleo", "dan"))


@pytest.mark.parametrize("ballot", ["likelihood", "verdict"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_every_pair_is_judged_by_exactly_those_who_wrote_neither(ballot: str, count: int) -> None:
    stage = Stage([a_spec(name, ballot) for name in NAMES[:count]])
    run = await played(stage, "Why?")
    author = {step.id: step.agent for step in stage.steps(run) if step.phase == "answer"}
    judged = Counter((b.judge, frozenset((author[b.first], author[b.second]))) for b in stage.ballots(run))
    times = {"likelihood": 1, "verdict": 2}[ballot]
    assert judged == {
        (judge, frozenset(pair)): times
        for judge in NAMES[:count]
        for pair in combinations([name for name in NAMES[:count] if name != judge], 2)
    }


@given(run=st.uuids(), count=st.integers(0, 12))
def test_along_a_ring_each_answer_meets_two_others_and_comparisons_lead_everywhere(run: UUID, count: int) -> None:
    answers = [Answer(str(n), UUID(int=n), ()) for n in range(count)]
    pairs = along_a_ring(seen_by("judge", answers, shuffled_by(run)))
    assert len({frozenset((one.step, other.step)) for one, other in pairs}) == len(pairs) <= max(count, 1)
    if count > 2:
        assert set(Counter(answer.step for pair in pairs for answer in pair).values()) == {2}
        reached = {answers[0].step}
        for _ in answers:
            reached |= {answer.step for pair in pairs if {a.step for a in pair} & reached for answer in pair}
        assert len(reached) == count


async def test_in_a_sampled_ranking_each_judge_casts_as_many_ballots_as_it_sees_answers() -> None:
    ballots = ("likelihood", "verdict")
    stage = Stage([a_spec(name, ballots[n % 2]) for n, name in enumerate(NAMES)])
    run = stage.request("Why?", kind="sampled_ranking")
    await stage.worker(ScriptedAgents()).play(run)
    cast = Counter(ballot.judge for ballot in stage.ballots(run))
    assert cast == {name: 5 * (1 + n % 2) for n, name in enumerate(NAMES)}
    author = {step.id: step.agent for step in stage.steps(run)}
    assert all(ballot.judge not in (author[ballot.first], author[ballot.second]) for ballot in stage.ballots(run))


async def test_a_verdict_is_asked_for_in_both_orders() -> None:
    stage = Stage([a_spec(name, "verdict") for name in NAMES[:4]])
    run = await played(stage, "Why?")
    shown = [(b.judge, b.first, b.second) for b in stage.ballots(run)]
    assert len(set(shown)) == len(shown) == 4 * 3 * 2
    assert {(judge, second, first) for judge, first, second in shown} == set(shown)


async def test_judges_are_never_told_who_wrote_what() -> None:
    stage = Stage([a_spec(name, "verdict") for name in NAMES[:4]])
    agents = ScriptedAgents()
    await stage.worker(agents).play(stage.request("Why?", "And then?"))
    questions = [messages[0].content for _, what, messages in agents.calls if what == "compare"]
    assert questions
    assert not [q for q in questions for name in NAMES if name in q]


async def test_every_turn_is_played_and_each_agent_remembers_its_own_answers() -> None:
    stage = Stage([a_spec(name) for name in NAMES[:4]])
    run = await played(stage, "One", "Two", "Three")
    answers = {(s.agent, s.n): s.call for s in stage.steps(run) if s.phase == "answer"}
    assert len(answers) == 4 * 3
    for name in NAMES[:4]:
        assert [m.content for m in answers[name, 2].messages] == [
            "One", answers[name, 0].output, "Two", answers[name, 1].output, "Three",
        ]  # fmt: skip


async def test_a_likelihood_ballot_names_the_scores_behind_it() -> None:
    stage = Stage([a_spec(name) for name in NAMES[:4]])
    run = await played(stage, "Why?")
    calls = {step.id: step for step in stage.steps(run)}
    for ballot in stage.ballots(run):
        one, other = (calls[id] for id in ballot.steps)
        assert one.agent == other.agent == ballot.judge
        assert one.call.score is not None
        assert other.call.score is not None
        difference = one.call.score - other.call.score
        assert ballot.margin == pytest.approx(abs(difference))
        assert ballot.outcome is (
            Outcome.TIE if abs(difference) < 0.01 else Outcome.FIRST if difference > 0 else Outcome.SECOND
        )


async def test_an_agent_that_says_nothing_is_kept_as_unparseable_and_not_scored() -> None:
    stage = Stage([a_spec(name) for name in ("anna", "silent-ben", "cleo", "dan")])
    run = await played(stage, "Why?")
    silent = next(s.id for s in stage.steps(run) if s.agent == "silent-ben" and s.phase == "answer")
    for ballot in stage.ballots(run):
        assert (ballot.outcome is Outcome.UNPARSEABLE) == (silent in (ballot.first, ballot.second))
