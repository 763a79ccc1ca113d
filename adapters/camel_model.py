"""Any CAMEL model, with every call written down as the domain knows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from camel.messages import OpenAIMessage
from camel.models import BaseModelBackend
from camel.types import ChatCompletion
from camel.utils import BaseTokenCounter
from pydantic import BaseModel

from adapters.endpoint_patience import ModelRefused, persistently
from adapters.endpoint_values import tame
from domain.model_call import Message, ModelCall, ToolCall, Usage

_CALLS: ContextVar[list[ModelCall]] = ContextVar("recorded_model_calls")


@contextmanager
def recording() -> Iterator[list[ModelCall]]:
    """Within it, the calls of RecordingModels are added to the list, in order. Tasks do not see each other's."""
    calls: list[ModelCall] = []
    token = _CALLS.set(calls)
    try:
        yield calls
    finally:
        _CALLS.reset(token)


class RecordingModel(BaseModelBackend):
    """Asks the `inner` model, with patience, and records the call. What comes out is escaped before anybody sees it,
    so that memory, log and later prompts hold the same text. One may be shared by agents; it remembers nothing.

    `adapter` is the LoRA adapter that the inner model asks for, None for the base.
    """

    def __init__(self, inner: BaseModelBackend, adapter: str | None, endpoint: str, patience: float) -> None:
        super().__init__(inner.model_type, inner.model_config_dict, token_counter=inner.token_counter)
        self._inner = inner
        self._adapter = adapter
        self._endpoint = endpoint
        self._patience = patience

    @property
    def token_counter(self) -> BaseTokenCounter:
        """The inner model's."""
        return self._inner.token_counter

    def _run(
        self,
        messages: list[OpenAIMessage],
        response_format: type[BaseModel] | None = None,
        tools: list[dict[str, Any]] | None = None,
    ) -> NoReturn:
        raise TypeError("a recorded model is asked with `arun`: call the agent's `astep`, not its `step`")

    async def _arun(
        self,
        messages: list[OpenAIMessage],
        response_format: type[BaseModel] | None = None,
        tools: list[dict[str, Any]] | None = None,
    ) -> ChatCompletion:
        began = time.monotonic()

        async def attempt() -> Any:
            nonlocal began
            began = time.monotonic()
            return await self._inner.arun(messages, response_format, tools)

        response = await persistently(attempt, self._endpoint, self._patience)
        if not isinstance(response, ChatCompletion) or not response.choices:
            raise ModelRefused(f"{self._endpoint} answered with no message: {str(response)[:200]}")
        latency = time.monotonic() - began
        try:
            tame(response)
            call = self._call(messages, response, latency)
        except (AttributeError, TypeError, LookupError) as error:
            raise ModelRefused(f"{self._endpoint} answered with what is no chat completion: {error}") from error
        _CALLS.get().append(call)
        if not tools:
            response.choices[0].message.tool_calls = None  # nobody offered one, so CAMEL must not run any
        return response

    def _call(self, messages: list[OpenAIMessage], response: ChatCompletion, latency: float) -> ModelCall:
        choice, usage = response.choices[0], response.usage
        functions = [call.function for call in choice.message.tool_calls or [] if call.type == "function"]
        return ModelCall(
            messages=tuple(Message(message["role"], str(message.get("content") or "")) for message in messages),
            output=choice.message.content or "",
            model=str(self.model_type),
            usage=Usage(usage.prompt_tokens, usage.completion_tokens) if usage else Usage(),
            latency=latency,
            finish_reason=choice.finish_reason,
            adapter=self._adapter,
            model_revision=response.system_fingerprint,
            tool_calls=tuple(ToolCall(function.name, function.arguments) for function in functions),
        )
