"""Any CAMEL model, with every call written down as the domain knows it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from camel.messages import OpenAIMessage
from camel.models import BaseModelBackend
from camel.types import ChatCompletion
from camel.utils import BaseTokenCounter
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel, ValidationError

from adapters.aloud import Aloud, Ask
from adapters.answer_cache import KeptAnswers
from adapters.endpoint_patience import Endpoint, persistently
from adapters.endpoint_values import tame, words
from adapters.telemetry.gen_ai import model_call
from domain.current_step import current_step
from domain.model_call import Message, ModelCall, ToolCall, Usage
from domain.ports.agents import ModelRefused

MOST_TOOLS_AT_ONCE = 8
"""That a model may ask for in one answer."""

Tools = Sequence[Mapping[str, Any]]
"""What a model is told of its tools, in the form of OpenAI's API."""

_CALLS: ContextVar[tuple[list[ModelCall], Tools]] = ContextVar("recorded_model_calls")


@contextmanager
def recording(tools: Tools = ()) -> Iterator[list[ModelCall]]:
    """Within it, the calls of RecordingModels are added to the list, in order, and their models are offered these
    tools. Tasks do not see each other's."""
    calls: list[ModelCall] = []
    token = _CALLS.set((calls, tools))
    try:
        yield calls
    finally:
        _CALLS.reset(token)


class RecordingModel(BaseModelBackend):
    """Asks the `inner` model, with patience, and records the call. What comes out is escaped before anybody sees it,
    so that memory, log and later prompts hold the same text. One may be shared by agents; it remembers nothing. Tools
    that the model asks for are recorded, and CAMEL, which would use them, is told of none.

    `adapter` is the LoRA adapter that the inner model asks for, None for the base. Where it can be asked `aloud`, it is
    for the steps of runs. Where there are answers `kept`, what was asked before is not asked again.
    """

    def __init__(
        self,
        inner: BaseModelBackend,
        adapter: str | None,
        endpoint: Endpoint,
        aloud: Aloud | None = None,
        kept: KeptAnswers | None = None,
    ) -> None:
        super().__init__(inner.model_type, inner.model_config_dict, token_counter=inner.token_counter)
        self._inner = inner
        self._adapter = adapter
        self._endpoint = endpoint
        self._aloud = aloud
        self._kept = kept

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
        calls, offered = _CALLS.get()
        asked = self._question(messages, response_format, offered)
        began = time.monotonic()
        known = await self._answered_before(asked)
        response, began = (known, began) if known else await self._answer(messages, response_format, [*offered] or None)
        latency = time.monotonic() - began
        try:
            tame(response, self._endpoint.hide)
            call = self._call(messages, response, latency, may_ask=bool(offered), cached=known is not None)
        except (AttributeError, TypeError, LookupError) as error:
            raise ModelRefused(
                f"{self._endpoint.name} answered with what is no chat completion: {self._endpoint.told_of(error)}"
            ) from error
        calls.append(call)
        if self._kept and known is None:
            await self._kept.keep(asked, response.model_dump_json(warnings=False).encode(), call.finish_reason)
        response.choices[0].message.tool_calls = None  # which tools are used is not for CAMEL to say
        return response

    async def _answer(self, *question: Any) -> tuple[ChatCompletion, float]:
        """The model's, and when the attempt began that it came of."""
        began = time.monotonic()
        messages = question[0]

        async def attempt() -> Any:
            nonlocal began
            began = time.monotonic()
            with model_call("chat", str(self.model_type), messages, self.model_config_dict, self._inner._url) as told:
                answer = await ask(*question)
                told(answer)
            return answer

        with self._asking() as ask:
            response = await persistently(attempt, self._endpoint, self._adapter)
        if not isinstance(response, ChatCompletion) or not response.choices:
            said = words(response, hide=self._endpoint.hide)
            raise ModelRefused(f"{self._endpoint.name} answered with no message: {said}")
        return response, began

    async def _answered_before(self, asked: Mapping[str, Any]) -> ChatCompletion | None:
        if self._kept is None or (found := await self._kept.find(asked)) is None:
            return None
        try:
            known = ChatCompletion.model_validate_json(found)
        except ValidationError:
            return None
        return known if known.choices else None

    def _question(
        self, messages: list[OpenAIMessage], response_format: type[BaseModel] | None, offered: Tools
    ) -> Mapping[str, Any]:
        """All that the model is asked, as JSON."""
        return {
            "messages": messages,
            "settings": self.model_config_dict,
            "tools": [*offered],
            "response_format": response_format.model_json_schema() if response_format else None,
        }

    @contextmanager
    def _asking(self) -> Iterator[Ask]:
        step = current_step()
        if self._aloud is None or step is None:
            yield self._inner.arun
        else:
            with self._aloud.asking_for(step) as ask:
                yield ask

    def _call(
        self, messages: list[OpenAIMessage], response: ChatCompletion, latency: float, may_ask: bool, cached: bool
    ) -> ModelCall:
        choice, usage = response.choices[0], None if cached else response.usage
        return ModelCall(
            messages=tuple(Message(message["role"], str(message.get("content") or "")) for message in messages),
            output=choice.message.content or "",
            model=str(self.model_type),
            usage=Usage(usage.prompt_tokens, usage.completion_tokens) if usage else Usage(),
            latency=latency,
            finish_reason=choice.finish_reason,
            adapter=self._adapter,
            model_revision=response.system_fingerprint,
            tool_calls=tuple(_asked_for(choice.message, may_ask)),
            cached=cached,
        )


def _asked_for(message: ChatCompletionMessage, may_ask: bool) -> Iterator[ToolCall]:
    """With ids that tell them apart, as endpoints do not always give them."""
    ids: set[str] = set()
    functions = [call for call in message.tool_calls or [] if call.type == "function"]
    for n, call in enumerate(functions):
        error = None if may_ask else "no tools were offered"
        if n >= MOST_TOOLS_AT_ONCE:
            error = f"more than {MOST_TOOLS_AT_ONCE} tools at once"
        id = call.id or f"call-{n}"
        while id in ids:
            id = f"{id}-{n}"
        ids.add(id)
        yield ToolCall(call.function.name, call.function.arguments, error=error, id=id)
