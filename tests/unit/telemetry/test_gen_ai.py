"""Turns, calls and tools are told in OpenTelemetry's words; what was said is left out unless somebody asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.telemetry import gen_ai
from adapters.telemetry.agents import TracedAgents
from domain.model_call import ToolCall
from domain.ports.agents import ModelUnavailable
from tests.scripted_agents import ScriptedAgents, a_spec

ASKED = [{"role": "user", "content": "Where is it?"}]
SETTINGS = {"temperature": 0.5, "max_tokens": 16, "extra_body": {"schema": "ours"}}
ANSWER = ChatCompletion.model_validate(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-0001",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Here."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
)


def told(spans: InMemorySpanExporter) -> dict[str, dict[str, Any]]:
    return {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}


async def test_an_agents_turn_names_agent_run_and_cost(spans: InMemorySpanExporter) -> None:
    agent = TracedAgents(ScriptedAgents()).create(a_spec("anna"), "team@1", None)
    with gen_ai.conversation("run-1"):
        await agent.answer("Why?")
    assert told(spans) == {
        "invoke_agent anna": {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.conversation.id": "run-1",
            "gen_ai.agent.name": "anna",
            "gen_ai.provider.name": "caravan",
            "gen_ai.request.model": "team@1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 2,
        }
    }


async def test_a_turn_that_failed_says_how(spans: InMemorySpanExporter) -> None:
    agent = TracedAgents(ScriptedAgents(frozenset({"anna"}))).create(a_spec("anna"), None, None)
    with pytest.raises(ModelUnavailable):
        await agent.compare("Which?")
    assert told(spans)["invoke_agent anna"]["error.type"] == "ModelUnavailable"


def test_a_call_names_what_was_asked_and_answered_but_not_the_words(spans: InMemorySpanExporter) -> None:
    with (
        gen_ai.invoke_agent(a_spec("anna"), None),
        gen_ai.model_call("chat", "tiny", ASKED, SETTINGS, "http://127.0.0.1:8402/v1") as answered,
    ):
        answered(ANSWER)
    assert told(spans)["chat tiny"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 16,
        "gen_ai.agent.name": "anna",
        "gen_ai.provider.name": "caravan",
        "server.address": "127.0.0.1",
        "server.port": 8402,
        "gen_ai.response.id": "c-1",
        "gen_ai.response.model": "tiny-0001",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 2,
    }


def test_the_words_are_told_where_somebody_asks(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gen_ai.CAPTURES, "true")
    with gen_ai.model_call("chat", "tiny", ASKED) as answered:
        answered(ANSWER)
    call = told(spans)["chat tiny"]
    assert "Where is it?" in call["gen_ai.input.messages"]
    assert "Here." in call["gen_ai.output.messages"]


@pytest.mark.parametrize("answer", [None, "<html>", {"usage": 1}, ChatCompletion.model_construct(usage=7, choices=3)])
def test_what_is_no_answer_does_no_harm(spans: InMemorySpanExporter, answer: object) -> None:
    with gen_ai.model_call("chat", "tiny") as answered:
        answered(answer)
    assert "gen_ai.usage.input_tokens" not in told(spans)["chat tiny"]


def test_a_tool_is_told_by_name(spans: InMemorySpanExporter) -> None:
    with gen_ai.execute_tool("search", "call-1", '{"q": "secret"}'):
        pass
    assert told(spans)["execute_tool search"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call-1",
    }


async def test_an_agents_tool_is_told_and_whether_it_failed(spans: InMemorySpanExporter) -> None:
    agent = TracedAgents(ScriptedAgents()).create(a_spec("anna"), None, None)
    await agent.use(ToolCall("add", "[1, 2]", id="call-1"))
    assert "error.type" not in told(spans)["execute_tool add"]
    with gen_ai.execute_tool("add") as answered:
        answered(ToolCall("add", "", error="it broke"))
    assert told(spans)["execute_tool add"]["error.type"] == "ToolFailed"
