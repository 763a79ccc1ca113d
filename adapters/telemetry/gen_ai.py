"""What agents, models and tools do, in the words of OpenTelemetry's conventions for generative AI. They still change:
whatever is named gen_ai is named here and nowhere else.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ and gen-ai-agent-spans/
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from adapters.telemetry.tracing import is_on, span
from domain.model_call import ModelCall, ToolCall
from domain.roster import AgentSpec

CAPTURES = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""OpenTelemetry's own switch: only where it is on do spans hold what was said."""
SCORE = "score"
"""Ours, beside `chat`: how likely a model finds given answers."""
CACHED = "caravan.cached"
"""Ours: the answer was given before, and no model was asked."""
PROVIDERS = {"embedded": "caravan", "openai-compatible-model": "openai_compatible"}
"""Of platforms whose names differ from OpenTelemetry's names of providers."""
_RUN, _AGENT = context.create_key("caravan-run"), context.create_key("caravan-agent")


@contextmanager
def conversation(run: str) -> Iterator[None]:
    """What is asked within it belongs to that run."""
    with _known(_RUN, run):
        yield


@contextmanager
def invoke_agent(agent: AgentSpec, adapter: str | None) -> Iterator[Callable[[ModelCall], None]]:
    """An agent's turn; its calls are to be made within it. The function yielded is told what came of it."""
    attributes = _about(gen_ai.GenAiOperationNameValues.INVOKE_AGENT.value) | _agent(agent)
    attributes[gen_ai.GEN_AI_REQUEST_MODEL] = adapter or agent.model.name
    with span(f"invoke_agent {agent.name}", attributes) as started, _known(_AGENT, agent):

        def answered(call: ModelCall) -> None:
            started.set_attributes(
                {
                    gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: [call.finish_reason],
                    gen_ai.GEN_AI_USAGE_INPUT_TOKENS: call.usage.input_tokens,
                    gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: call.usage.output_tokens,
                }
            )
            if call.cached:
                started.set_attribute(CACHED, True)

        yield answered


@contextmanager
def model_call(
    operation: str,
    model: str,
    messages: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    url: str | None = None,
) -> Iterator[Callable[[Any], None]]:
    """One request to a model's endpoint, by the agent whose turn it is. `operation`: `chat` or SCORE; `settings` are
    those of OpenAI's API. The function yielded is told the answer, in the form of OpenAI's."""
    attributes = _about(operation) | {gen_ai.GEN_AI_REQUEST_MODEL: model} | _settings(settings or {}) | _server(url)
    if isinstance(agent := context.get_value(_AGENT), AgentSpec):
        attributes |= _agent(agent)
    if _captures():
        attributes[gen_ai.GEN_AI_INPUT_MESSAGES] = _said(messages)
    with span(f"{operation} {model}", attributes, kind=SpanKind.CLIENT) as started:
        yield lambda answer: _answered(started, answer)


@contextmanager
def execute_tool(name: str, call_id: str | None = None, arguments: str = "") -> Iterator[Callable[[ToolCall], None]]:
    """A tool at work for the agent whose turn it is. `arguments`: JSON. The function yielded is told its end."""
    attributes = _about(gen_ai.GenAiOperationNameValues.EXECUTE_TOOL.value)
    attributes |= {gen_ai.GEN_AI_TOOL_NAME: name, gen_ai.GEN_AI_TOOL_TYPE: "function"}
    if call_id:
        attributes[gen_ai.GEN_AI_TOOL_CALL_ID] = call_id
    if arguments and _captures():
        attributes[gen_ai.GEN_AI_TOOL_CALL_ARGUMENTS] = arguments
    with span(f"execute_tool {name}", attributes) as started:

        def answered(call: ToolCall) -> None:
            if call.error is not None:
                started.set_attribute(ERROR_TYPE, "ToolFailed")
                started.set_status(StatusCode.ERROR)
            elif _captures():
                started.set_attribute(gen_ai.GEN_AI_TOOL_CALL_RESULT, call.result)

        yield answered


def _about(operation: str) -> dict[str, AttributeValue]:
    run = context.get_value(_RUN)
    about: dict[str, AttributeValue] = {gen_ai.GEN_AI_OPERATION_NAME: operation}
    return about | ({gen_ai.GEN_AI_CONVERSATION_ID: run} if isinstance(run, str) else {})


def _agent(agent: AgentSpec) -> dict[str, AttributeValue]:
    platform = agent.model.platform
    return {gen_ai.GEN_AI_AGENT_NAME: agent.name, gen_ai.GEN_AI_PROVIDER_NAME: PROVIDERS.get(platform, platform)}


def _settings(settings: Mapping[str, Any]) -> dict[str, AttributeValue]:
    names = {
        "temperature": gen_ai.GEN_AI_REQUEST_TEMPERATURE,
        "max_tokens": gen_ai.GEN_AI_REQUEST_MAX_TOKENS,
        "top_p": gen_ai.GEN_AI_REQUEST_TOP_P,
        "seed": gen_ai.GEN_AI_REQUEST_SEED,
    }
    return {name: settings[ours] for ours, name in names.items() if isinstance(settings.get(ours), int | float)}


def _server(url: str | None) -> dict[str, AttributeValue]:
    parts = urlsplit(url or "")
    if not parts.hostname:
        return {}
    return {SERVER_ADDRESS: parts.hostname} | ({SERVER_PORT: parts.port} if parts.port else {})


def _answered(started: Span, answer: Any) -> None:
    """Endpoints are hostile until their answer is validated, which comes later: what does not fit is left out."""
    if not started.is_recording():
        return
    usage, choices = getattr(answer, "usage", None), getattr(answer, "choices", None)
    told = {
        gen_ai.GEN_AI_RESPONSE_ID: getattr(answer, "id", None),
        gen_ai.GEN_AI_RESPONSE_MODEL: getattr(answer, "model", None),
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: getattr(usage, "prompt_tokens", None),
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: getattr(usage, "completion_tokens", None),
    }
    started.set_attributes({name: value for name, value in told.items() if isinstance(value, str | int)})
    if not isinstance(choices, list):
        return
    reasons = [str(getattr(choice, "finish_reason", "")) for choice in choices]
    started.set_attribute(gen_ai.GEN_AI_RESPONSE_FINISH_REASONS, reasons)
    if _captures():
        messages = [getattr(choice, "message", None) for choice in choices]
        said = [{"role": "assistant", "content": getattr(message, "content", "")} for message in messages]
        started.set_attribute(gen_ai.GEN_AI_OUTPUT_MESSAGES, _said(said))


def _said(messages: Sequence[Mapping[str, Any]]) -> str:
    """Messages in OpenTelemetry's JSON."""
    return json.dumps(
        [
            {"role": message["role"], "parts": [{"type": "text", "content": str(message.get("content") or "")}]}
            for message in messages
        ]
    )


def _captures() -> bool:
    return is_on() and os.environ.get(CAPTURES, "").lower() in ("true", "span_only", "span_and_event")


@contextmanager
def _known(key: str, value: object) -> Iterator[None]:
    token = context.attach(context.set_value(key, value))
    try:
        yield
    finally:
        context.detach(token)
