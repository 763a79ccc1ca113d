"""Real CAMEL agents that use real tools, as a scripted endpoint asks for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from adapters.camel_agents import CamelAgents
from adapters.camel_model import MOST_TOOLS_AT_ONCE
from adapters.tools.toolbox import Toolbox
from domain.current_step import CurrentStep, asking_for
from domain.model_call import Message, ToolCall
from domain.ports.agents import ToolsUnavailable
from domain.roster import AgentSpec, ModelSpec
from domain.workflow import State, Workflow
from tests.builders import RUN
from tests.integration.scripted_endpoint import ScriptedEndpoint
from tests.integration.test_tools import entry
from tests.played_runs import Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgents, a_spec

SUM = ("math_add", '{"a": 1, "b": 2}')
STEP = CurrentStep(RUN, "anna", "answer", 0)


class Silence:
    """In place of LiveText: nobody listens."""

    def utterance(self, step: CurrentStep) -> ExitStack:
        stack = ExitStack()
        stack.add = stack.begin = lambda *_: None  # type: ignore[attr-defined]
        return stack


@pytest_asyncio.fixture
async def toolbox(tmp_path: Path) -> AsyncIterator[Toolbox]:
    box = Toolbox({"t": entry(tmp_path / "uses")}, {}, tmp_path / "logs", seconds=20)
    yield box
    await box.close()


def agents_on(
    endpoint: ScriptedEndpoint, toolbox: Toolbox, live: Any = None, tools: tuple[str, ...] = ("math",)
) -> tuple[CamelAgents, AgentSpec]:
    model = ModelSpec("openai-compatible-model", "m", endpoint.url)
    spec = AgentSpec("anna", "adds", "You are Anna.", model, None, "verdict", tools)
    return CamelAgents("http://x/v1", "key", None, {}, patience=5, live=live, toolbox=toolbox), spec


async def test_a_model_is_told_of_its_tools_and_of_what_came_of_them(toolbox: Toolbox) -> None:
    with ScriptedEndpoint("Let me see.", wants=[[SUM, ("math_divide", '{"a": 1, "b": 0}')]]).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox)
        agent = agents.create(spec, None, None)
        asking = await agent.answer("What is 1 + 2?")
        used = [(await agent.use(wanted)).call for wanted in asking.wanted]
        answer = await agent.answer(used)
        await agent.compare("A or B?")
    first, second, judging = endpoint.requests
    assert [tool["function"]["name"] for tool in first["tools"]][:2] == ["math_add", "math_subtract"]
    assert (asking.output, answer.output, answer.wanted) == ("Let me see.", "Let me see.", ())
    assert used[0] == ToolCall(*SUM, "3.0", id="id-0")
    said, *told = second["messages"][-3:]
    assert (said["role"], said["content"], len(said["tool_calls"])) == ("assistant", "Let me see.", 2)
    assert said["tool_calls"][0]["function"] == {"name": SUM[0], "arguments": SUM[1]}
    assert told[0] == {"role": "tool", "content": "3.0", "tool_call_id": "id-0"}
    assert told[1]["content"].startswith("Error: ")
    assert [message.role for message in answer.messages] == ["system", "user", "assistant", "tool", "tool"]
    assert "tools" not in judging


async def test_an_agent_that_was_reminded_goes_on_with_the_same_words(toolbox: Toolbox) -> None:
    wants = [[SUM, ("math_add", "{not json")], [SUM]]
    with ScriptedEndpoint("So.", wants=wants).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox)
        one, other = (agents.create(spec, None, None) for _ in range(2))
        first = await one.answer("Why?")
        used = [(await one.use(wanted)).call for wanted in first.wanted]
        other.remember("Why?", first)
        await one.answer(used)
        endpoint.wants.append([SUM])
        second = await other.answer(used)
        more = [(await other.use(wanted)).call for wanted in second.wanted]
        await one.answer(more, tools=False)
        await other.answer(more, tools=False)
    *_, last, too = endpoint.requests
    assert last == too
    assert "tools" not in last
    assert last["messages"][2]["tool_calls"][1]["function"]["arguments"] == "{}"


async def test_tools_are_asked_for_in_a_stream_too(toolbox: Toolbox) -> None:
    with ScriptedEndpoint("One moment.", wants=[[SUM, ("math_round", '{"a": 2.5}')]]).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox, Silence())
        with asking_for(STEP):
            asking = await agents.create(spec, None, None).answer("Add!")
    assert endpoint.requests[0]["stream"]
    assert asking.wanted == (ToolCall(*SUM, id="id-0"), ToolCall("math_round", '{"a": 2.5}', id="id-1"))


async def test_what_a_model_asks_for_at_once_can_be_told_apart(toolbox: Toolbox) -> None:
    calls = [
        {"id": id, "type": "function", "function": {"name": "a", "arguments": "{}"}}
        for id in ("call-1", None, "call-1")
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    with ScriptedEndpoint("", beside={"choices": choices}).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox)
        call = await agents.create(spec, None, None).answer("Add!")
    assert [wanted.id for wanted in call.wanted] == ["call-1", "call-1-1", "call-1-2"]


async def test_what_nobody_offered_is_recorded_and_never_used(toolbox: Toolbox) -> None:
    with ScriptedEndpoint("Hm.", wants=[[SUM] * 20]).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox)
        many = await agents.create(spec, None, None).answer("Add!")
    assert (len(many.tool_calls), len(many.wanted)) == (20, MOST_TOOLS_AT_ONCE)
    assert {call.error for call in many.tool_calls[8:]} == {"more than 8 tools at once"}
    unasked = {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [
        {"id": None, "type": "function", "function": {"name": "rm\x00", "arguments": "{}"}}
    ]}, "finish_reason": "tool_calls"}]}  # fmt: skip
    with ScriptedEndpoint("", beside=unasked).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox, tools=())
        call = await agents.create(spec, None, None).answer("Why?")
    assert call.tool_calls == (ToolCall("rm␛0000", "{}", error="no tools were offered", id="call-0"),)
    assert call.wanted == ()


@pytest.mark.parametrize(
    ("name", "shown"), [("", "_"), ("functions.math_add", "functions_math_add"), ("é" * 90, "_" * 64)]
)
async def test_a_name_that_no_endpoint_takes_is_not_sent_back(toolbox: Toolbox, name: str, shown: str) -> None:
    with ScriptedEndpoint("Hm.", wants=[[(name, "{}")]]).up() as endpoint:
        agents, spec = agents_on(endpoint, toolbox)
        agent = agents.create(spec, None, None)
        (wanted,) = (await agent.answer("Add!")).wanted
        used = (await agent.use(wanted)).call
        await agent.answer([used])
    assert (wanted.name, (used.error or "")[:16]) == (name, "there is no tool")
    said, told = endpoint.requests[1]["messages"][-2:]
    assert said["tool_calls"][0]["function"]["name"] == shown
    assert told["content"].startswith("Error: there is no tool")


async def test_a_tool_that_is_allowed_no_more_is_named(toolbox: Toolbox) -> None:
    agents, spec = agents_on(ScriptedEndpoint("", url="http://127.0.0.1:9/v1"), toolbox, tools=("mcp:gone",))
    with pytest.raises(ToolsUnavailable, match="mcp:gone is not among the servers"):
        agents.create(spec, None, None)


class OneOnTools(ScriptedAgents):
    """Scripted agents, of which the first is a real one."""

    real: CamelAgents

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> Any:
        factory = self.real.create if spec.name == "anna" else super().create
        return factory(spec, adapter, max_tokens)


async def test_a_run_that_is_taken_over_between_two_tools_is_the_one_it_would_have_been(
    toolbox: Toolbox, tmp_path: Path
) -> None:
    echo = ("t__echo", json.dumps({"text": "once"}))

    async def play(lives: int | None) -> tuple[Stage, list[dict[str, Any]]]:
        with ScriptedEndpoint("It is 3.", wants=[[echo, SUM, ("t__fly", "{}")]]).up() as endpoint:
            agents, spec = agents_on(endpoint, toolbox, tools=("math", "mcp:t/echo"))
            stage = Stage([replace(spec, model=replace(spec.model, name="m")), a_spec("ben"), a_spec("cleo")])
            cast = OneOnTools()
            cast.real = agents
            run = stage.request("What is 1 + 2?")
            bus = stage.store.bus().execute
            if lives is not None:
                with pytest.raises(Crash):
                    await stage.worker(cast, execute=Mortal(bus, lives)).play(run)
            await stage.worker(cast, "w2").play(run)
            assert stage.run(run).state is State.COMPLETED
            return stage, endpoint.requests

    def told(stage: Stage) -> list[tuple[str, str, str | None, int]]:
        steps = stage.tools(next(iter(stage.store.read())).event.originator_id)
        return [(step.call.name, step.call.result, step.call.error, step.n) for step in steps]

    whole, asked = await play(None)
    cut, asked_again = await play(9)  # of anna, her question and her first tool are recorded by then
    expected = [("t__echo", "once", None, 0), ("math_add", "3.0", None, 1)]
    assert told(whole)[:2] == told(cut)[:2] == expected
    assert (tmp_path / "uses").read_text() == "echo once\n" * 2
    assert [request["messages"] for request in asked[:2]] == [request["messages"] for request in asked_again[:2]]
    said = [
        event.step.call.messages
        for recorded in cut.store.read()
        if isinstance(event := recorded.event, Workflow.StepRecorded) and event.step.agent == "anna"
    ]
    assert Message("tool", "3.0") in said[1]
