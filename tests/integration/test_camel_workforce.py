"""CAMEL's own Workforce with models that follow a script: what it does where they make sense, and where they do not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from adapters.camel_workforce import CamelWorkforce
from commands.policies.calls_under_way import LetGo
from domain.errors import AlreadyDone, LeaseLost
from domain.limits import Limit, LimitReached
from domain.model_call import Message
from domain.ports.agents import ModelUnavailable
from domain.text import is_storable
from domain.workflow import RunPaused
from domain.workforce import MOST_SUBTASKS, Report, Told
from tests.scripted_agents import a_spec

TEAM = [a_spec(name) for name in ("anna", "ben", "cleo")]
TASK = "Write a haiku about rain, and one about snow."
PLAN = "<tasks><task>A haiku about rain.</task><task>A haiku about snow.</task></tasks>"
RAIN, SNOW = ('{"content": "Soft rain.", "failed": false}', '{"content": "White snow.", "failed": false}')


def assignment(*workers: str) -> str:
    """The nth sub-task to the nth of them; the second one wants to know of the first."""
    each = [
        {"task_id": f"0.{n}", "assignee_id": worker, "dependencies": ["0.1", "0.2"][: n - 1]}
        for n, worker in enumerate(workers, 1)
    ]
    return json.dumps({"assignments": each})


@dataclass
class Home:
    """Answers by script, by agent and phase; the last answer again and again. An exception is raised."""

    script: Mapping[tuple[str, str], Sequence[str | BaseException]]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    told: list[Report] = field(default_factory=list)

    async def ask(self, agent: str, phase: str, messages: Sequence[Message]) -> str:
        before = sum((agent, phase) == each[:2] for each in self.asked)
        self.asked.append((agent, phase, messages[-1].content))
        await asyncio.sleep(0)
        answers = self.script[agent, phase]
        answer = answers[min(before, len(answers) - 1)]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def tell(self, report: Report) -> None:
        self.told.append(report)

    async def work(self) -> None:
        await asyncio.wait_for(CamelWorkforce().work_out(TASK, TEAM, self.ask, self.tell), 20)

    def calls(self) -> list[tuple[str, str]]:
        return [(agent, phase) for agent, phase, _ in self.asked]

    def reports(self, *what: Told) -> list[tuple[str, str, str]]:
        return [(report.task, report.worker, report.text) for report in self.told if report.what in what]


def a_home(**answers: str | BaseException | Sequence[str | BaseException]) -> Home:
    """Where all goes well, but for what is given: `anna_plan=...`."""
    usual = {"anna_plan": PLAN, "anna_assign": assignment("worker-2", "worker-1"), "ben_work": SNOW, "cleo_work": RAIN}
    script = {}
    for name, given in (usual | answers).items():
        agent, phase = name.split("_")
        script[agent, phase] = [given] if isinstance(given, (str, BaseException)) else given
    return Home(script)


async def test_the_workers_do_what_the_coordinator_assigns_and_each_reads_what_came_before():
    home = a_home()
    await home.work()
    assert home.calls() == [("anna", "plan"), ("anna", "assign"), ("cleo", "work"), ("ben", "work")]
    assert "id: 0.1, content: A haiku about rain.. result: Soft rain.." in home.asked[-1][2]
    assert home.reports(Told.TASK_ASSIGNED) == [("0.1", "cleo", ""), ("0.2", "ben", "")]
    done = home.reports(Told.TASK_COMPLETED)
    assert done[:2] == [("0.1", "cleo", "Soft rain."), ("0.2", "ben", "White snow.")]
    assert home.told[-1] == Report(Told.ALL_TASKS_COMPLETED)
    assert not home.reports(Told.RULE_APPLIED)


async def test_played_again_it_asks_and_tells_the_same():
    first, second = a_home(anna_assign="nobody"), a_home(anna_assign="nobody")
    await first.work()
    await second.work()
    assert (first.asked, first.told) == (second.asked, second.told)


@pytest.mark.parametrize(
    "said",
    [
        assignment("node_12345", "worker_123"),
        "I would give them to Ben.",
        '{"assignments": "all"}',
        '{"assignments": [{"task_id": "9", "assignee_id": "worker-1"}]}',
        '{"assignments": [{"task_id": 1, "assignee_id": null, "dependencies": {}}]}',
        "[" * 20_000,
        '{"a":' * 3_000,
        " ",
    ],
)
async def test_where_the_coordinator_names_nobody_who_is_there_the_workers_take_turns_and_that_is_told(said: str):
    home = a_home(anna_assign=said)
    await home.work()
    assert home.reports(Told.TASK_ASSIGNED) == [("0.1", "ben", ""), ("0.2", "cleo", "")]
    assert [(task, worker) for task, worker, _ in home.reports(Told.RULE_APPLIED)] == [("0.1", "ben"), ("0.2", "cleo")]


async def test_a_coordinator_that_names_somebody_else_is_told_who_there_is_and_asked_once_more():
    home = a_home(anna_assign=[assignment("node_12345", "worker-1"), assignment("worker-2")])
    await home.work()
    assert "['worker-1', 'worker-2']" in home.asked[2][2]
    assert home.reports(Told.TASK_ASSIGNED) == [("0.1", "cleo", ""), ("0.2", "ben", "")]
    assert not home.reports(Told.RULE_APPLIED)


@pytest.mark.parametrize("said", ["1. Rain. 2. Snow.", "<task></task>", "<task>" * 30_000, " "])
async def test_where_the_plan_names_no_sub_tasks_each_worker_does_the_whole_task_and_that_is_told(said: str):
    home = a_home(anna_plan=said)
    await home.work()
    assert home.reports(Told.TASK_CREATED) == [("0", "", TASK), ("0.1", "", TASK), ("0.2", "", TASK)]
    assert [task for task, *_ in home.reports(Told.RULE_APPLIED)] == ["0"]
    assert home.told[-1] == Report(Told.ALL_TASKS_COMPLETED)


async def test_of_a_plan_without_end_only_the_beginning_is_done():
    home = a_home(anna_plan="<task>Rain.</task>" * 50)
    await home.work()
    assert len([call for call in home.calls() if call[1] == "work"]) == MOST_SUBTASKS
    assert home.reports(Told.RULE_APPLIED)[0][2].startswith("The plan names 50 sub-tasks")


@pytest.mark.parametrize("said", ["Soft rain, softly.", '{"content": ' + "9" * 5_000 + "}", '{"a":' * 2_000])
async def test_an_answer_that_is_no_json_is_taken_as_it_is_and_that_is_told(said: str):
    home = a_home(cleo_work=said)
    await home.work()
    assert ("0.1", "cleo", said[:1000]) in home.reports(Told.TASK_COMPLETED)
    assert [(task, worker) for task, worker, _ in home.reports(Told.RULE_APPLIED)] == [("0.1", "cleo")]


async def test_what_json_spells_out_can_be_stored_wherever_it_comes_up_again():
    home = a_home(cleo_work='{"content": "Soft\\u0000 \\ud800 rain.", "failed": false}')
    await home.work()
    assert "Soft␛0000 ␛d800 rain." in home.asked[-1][2]
    assert all(is_storable(text) for *_, text in (*home.asked, *home.reports(*Told)))


@pytest.mark.parametrize("said", ['{"content": "No ink.", "failed": true}', "I cannot do that.", ""])
async def test_a_worker_that_fails_tries_once_more_and_then_the_others_go_on_and_read_why(said: str):
    home = a_home(cleo_work=said)
    await home.work()
    assert home.calls()[2:] == [("cleo", "work"), ("cleo", "work"), ("ben", "work")]
    assert [(task, worker) for task, worker, _ in home.reports(Told.TASK_FAILED)] == [("0.1", "cleo")] * 2
    assert ("0.2", "ben", "White snow.") in home.reports(Told.TASK_COMPLETED)


async def test_a_worker_that_fails_once_may_do_it_after_all():
    home = a_home(cleo_work=['{"content": "No ink.", "failed": true}', RAIN])
    await home.work()
    assert ("0.1", "cleo", "Soft rain.") in home.reports(Told.TASK_COMPLETED)
    assert home.asked[2] == home.asked[3]


ENDS = [
    LimitReached(Limit.STEPS, 2),
    LetGo("the worker was told to stop"),
    LeaseLost("taken over"),
    AlreadyDone("the run is stopped"),
    RunPaused(),
    ModelUnavailable("the model's endpoint is gone"),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
@pytest.mark.parametrize("where", ["anna_plan", "anna_assign", "cleo_work", "ben_work"])
async def test_what_ends_the_work_comes_out_as_itself_and_nothing_goes_on_or_is_left(where: str, end: Exception):
    home, threads = a_home(**{where: end}), set(threading.enumerate())
    with pytest.raises(type(end)) as caught:
        await home.work()
    assert caught.value is end
    assert "_".join(home.calls()[-1]) == where
    assert set(threading.enumerate()) <= threads
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("nth", range(14))
async def test_so_does_what_ends_it_while_something_is_told(nth: int):
    home, end = a_home(cleo_work="Soft rain, softly."), LeaseLost("taken over")

    async def tell(report: Report) -> None:
        await Home.tell(home, report)
        if len(home.told) > nth:
            raise end

    home.tell = tell  # type: ignore[method-assign]
    with pytest.raises(LeaseLost) as caught:
        await home.work()
    assert caught.value is end
    assert len(home.told) == nth + 1


@pytest.mark.parametrize("where", [("anna", "plan"), ("anna", "assign"), ("cleo", "work")])
async def test_cancelled_it_leaves_neither_a_call_nor_a_task_nor_a_thread(where: tuple[str, str]):
    home, threads, asking, given_up = a_home(), set(threading.enumerate()), asyncio.Event(), asyncio.Event()

    async def ask(agent: str, phase: str, messages: Sequence[Message]) -> str:
        if (agent, phase) != where:
            return await Home.ask(home, agent, phase, messages)
        asking.set()
        try:
            return await asyncio.Future()
        finally:
            given_up.set()

    work = asyncio.create_task(CamelWorkforce().work_out(TASK, TEAM, ask, home.tell))
    await asking.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(work), 10)
    assert work.cancelled()
    assert given_up.is_set()
    assert set(threading.enumerate()) <= threads
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_models_say_reaches_no_terminal(capfd: pytest.CaptureFixture[str]):
    evil = "\x1b]0;title\x07"
    home = a_home(cleo_work=f"{evil} I cannot do that.", ben_work=f"{evil} snow")
    await home.work()
    assert "\x1b" not in capfd.readouterr().out


async def test_reports_hold_the_beginnings_of_long_texts():
    home = a_home(cleo_work="rain " * 5_000)
    await home.work()
    assert all(len(report.text) <= 1000 for report in home.told)


def test_a_team_of_one_worker_works_as_well():
    home = Home({("anna", "plan"): [PLAN], ("anna", "assign"): ["?"], ("ben", "work"): [RAIN, SNOW]})
    asyncio.run(CamelWorkforce().work_out(TASK, [*TEAM[:1], replace(TEAM[1])], home.ask, home.tell))
    assert home.calls()[-2:] == [("ben", "work")] * 2
