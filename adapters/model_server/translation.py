"""From requests to jobs: names become adapters, messages become tokens, and what cannot be served is refused."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from adapters.model_server.adapter_check import Adapter
from adapters.model_server.constrained import Constraint, Grammars, tool_call_schema
from adapters.model_server.errors import BadRequest, ContextTooLong
from adapters.model_server.jobs import ChatJob, Sampling, ScoreJob
from adapters.model_server.model import ServedModel
from adapters.model_server.prompts import PromptWriter
from adapters.model_server.schemas import MAX_SEED, ChatRequest, Message, NamedToolChoice, ScoreRequest
from adapters.model_server.served_adapters import ServedAdapters

DEFAULT_MAX_TOKENS = 256
MAX_SCORED_TOKENS = 2_048


class Translator:
    """Makes jobs of requests. Thread-safe; tokenizing long prompts takes time, so call it outside the event loop."""

    def __init__(self, model: ServedModel, adapters: ServedAdapters) -> None:
        self._base_name = model.name
        self._context_length = model.context_length
        self._adapters = adapters
        self._prompts = PromptWriter(model.tokenizer)
        self._grammars = Grammars(model.tokenizer, model.vocabulary)

    def chat(self, request: ChatRequest) -> ChatJob:
        """Raises an ApiError that says what to change."""
        adapter = self._adapter(request.model)
        tools = [] if request.tool_choice == "none" else request.tools or []
        constraint = self._constraint(request)
        prompt = self._prompts.prompt(request.messages, tools)
        wanted = request.max_completion_tokens or request.max_tokens
        room = self._room_after(prompt)
        if wanted and wanted > room:
            raise ContextTooLong(
                f"the prompt has {len(prompt)} tokens and {wanted} more were asked for, but the model's context is "
                f"{self._context_length}; shorten the messages or lower max_tokens",
                "messages",
            )
        return ChatJob(
            prompt=prompt,
            adapter=adapter,
            sampling=_sampling(request),
            max_tokens=wanted or min(DEFAULT_MAX_TOKENS, room),
            stop=[] if calls_a_tool(request) else list(request.stop or ()),
            constraint=constraint,
        )

    def score(self, request: ScoreRequest) -> ScoreJob:
        """Raises an ApiError that says what to change."""
        adapter = self._adapter(request.model)
        if request.answer is None:
            messages = request.messages
            answers = [n for n, each in enumerate(messages) if each.role == "assistant" and n >= request.given]
        else:
            messages = [*request.messages, Message(role="assistant", content=request.answer)]
            answers = [len(request.messages)]
        parts = self._prompts.with_answers(messages, answers)
        most = min(self._room_after(parts.prompt), MAX_SCORED_TOKENS)
        if len(parts.answer) > most:
            raise ContextTooLong(
                f"the answer has {len(parts.answer)} tokens; after this prompt at most {most} can be scored", "answer"
            )
        return ScoreJob(parts.prompt, adapter, parts.answer, parts.scored)

    def _adapter(self, name: str) -> Adapter | None:
        return None if name == self._base_name else self._adapters.find(name)

    def _room_after(self, prompt: Sequence[int]) -> int:
        room = self._context_length - len(prompt)
        if room < 1:
            raise ContextTooLong(
                f"the messages have {len(prompt)} tokens, but the model's context is {self._context_length}; "
                "shorten them",
                "messages",
            )
        return room

    def _constraint(self, request: ChatRequest) -> Constraint | None:
        schema = _schema(request)
        return None if schema is None else self._grammars.from_schema(schema)


def calls_a_tool(request: ChatRequest) -> bool:
    """Whether the answer must be a tool call. With `auto` the model answers in words: it is too small to choose."""
    return request.tool_choice == "required" or isinstance(request.tool_choice, NamedToolChoice)


def _schema(request: ChatRequest) -> dict[str, Any] | None:
    if calls_a_tool(request):
        return tool_call_schema(_callable_functions(request))
    response_format = request.response_format
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return {"type": "object"}
    if response_format.json_schema is None:
        raise BadRequest("response_format of type json_schema needs json_schema", "response_format")
    return response_format.json_schema.json_schema


def _callable_functions(request: ChatRequest) -> list[dict[str, Any]]:
    functions = [tool.function.model_dump() for tool in request.tools or []]
    if isinstance(request.tool_choice, NamedToolChoice):
        name = request.tool_choice.function.name
        functions = [function for function in functions if function["name"] == name]
    if not functions:
        raise BadRequest("tool_choice asks for a function that tools does not define", "tool_choice")
    return functions


def _sampling(request: ChatRequest) -> Sampling:
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=request.top_p or 1.0,
        seed=secrets.randbelow(MAX_SEED) if request.seed is None else request.seed,
    )
