"""A model as CAMEL knows one, whose answers are the steps of a run: recorded ones, or those that are made now."""

from __future__ import annotations

from typing import Any

from camel.messages import OpenAIMessage
from camel.models import BaseModelBackend
from camel.types import ChatCompletion
from camel.utils import BaseTokenCounter
from pydantic import BaseModel

from adapters.elsewhere import Elsewhere
from adapters.token_counter import token_counter
from domain.model_call import Message
from domain.ports.agents import Ask
from domain.roster import AgentSpec

LONGEST_ANSWER = 10_000
"""Characters of an answer that CAMEL reads; it is recorded whole. CAMEL's patterns take the square of the length."""
SILENCE = "(no answer)"
"""What CAMEL reads of a model that says nothing: it would take no message at all for a fault of its own."""


class StepModel(BaseModelBackend):
    """The model of one agent in one phase. Answers the same to a thread that waits and to one that does not."""

    def __init__(self, spec: AgentSpec, phase: str, ask: Ask, elsewhere: Elsewhere) -> None:
        super().__init__(spec.model.name, {}, token_counter=token_counter(None))
        self._agent = spec.name
        self._phase = phase
        self._ask = ask
        self._elsewhere = elsewhere

    @property
    def token_counter(self) -> BaseTokenCounter:
        """A guess that needs no vocabulary."""
        return token_counter(None)

    def _run(
        self,
        messages: list[OpenAIMessage],
        response_format: type[BaseModel] | None = None,
        tools: list[dict[str, Any]] | None = None,
    ) -> ChatCompletion:
        said = _plain(messages)
        return _completion(self._elsewhere.wait(lambda: self._ask(self._agent, self._phase, said)))

    async def _arun(
        self,
        messages: list[OpenAIMessage],
        response_format: type[BaseModel] | None = None,
        tools: list[dict[str, Any]] | None = None,
    ) -> ChatCompletion:
        said = _plain(messages)
        return _completion(await self._elsewhere.ask(lambda: self._ask(self._agent, self._phase, said)))


def _plain(messages: list[OpenAIMessage]) -> tuple[Message, ...]:
    return tuple(Message(message["role"], str(message.get("content") or "")) for message in messages)


def _completion(answer: str) -> ChatCompletion:
    text = answer[:LONGEST_ANSWER] if answer.strip() else SILENCE
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return ChatCompletion.model_validate(
        {"id": "", "created": 0, "model": "", "object": "chat.completion", "choices": choices}
    )
