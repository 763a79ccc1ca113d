"""From results to what OpenAI's clients expect, in the OpenAI SDK's own types."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from uuid import uuid4

from openai.types import CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import (
    ChoiceDelta,
    ChoiceDeltaToolCall,
    ChoiceDeltaToolCallFunction,
)
from openai.types.chat.chat_completion_message_tool_call import ChatCompletionMessageToolCall, Function

from adapters.model_server.adapter_check import Adapter
from adapters.model_server.jobs import Completion
from adapters.model_server.model import ServedModel
from domain.lora_weights import LoraForm

OWNER = "caravan"


@dataclass(frozen=True)
class Reply:
    """What all parts of one response have in common; `calls_a_tool` when the text is a tool call's JSON."""

    model: str
    fingerprint: str
    prompt_tokens: int
    calls_a_tool: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, completion: Completion) -> ChatCompletion:
        """The answer in one piece."""
        function = self._called_function(completion)
        message = ChatCompletionMessage(role="assistant", content=None if function else completion.text)
        if function:
            message.tool_calls = [ChatCompletionMessageToolCall(id=_call_id(), type="function", function=function)]
        reason = "tool_calls" if function else completion.finish_reason
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            object="chat.completion",
            system_fingerprint=self.fingerprint,
            choices=[Choice(index=0, finish_reason=reason, message=message)],
            usage=self._usage(completion),
        )

    def opening(self) -> ChatCompletionChunk:
        """The first chunk of a stream."""
        return self._chunk(ChunkChoice(index=0, delta=ChoiceDelta(role="assistant", content="")))

    def piece(self, text: str) -> ChatCompletionChunk:
        """A chunk with more text."""
        return self._chunk(ChunkChoice(index=0, delta=ChoiceDelta(content=text)))

    def closing(self, completion: Completion) -> ChatCompletionChunk:
        """The chunk that tells how the answer ended, and holds the tool call if there is one."""
        function = self._called_function(completion)
        if function is None:
            choice = ChunkChoice(index=0, delta=ChoiceDelta(), finish_reason=completion.finish_reason)
            return self._chunk(choice)
        call = ChoiceDeltaToolCall(
            index=0,
            id=_call_id(),
            type="function",
            function=ChoiceDeltaToolCallFunction(name=function.name, arguments=function.arguments),
        )
        return self._chunk(ChunkChoice(index=0, delta=ChoiceDelta(tool_calls=[call]), finish_reason="tool_calls"))

    def usage(self, completion: Completion) -> ChatCompletionChunk:
        """The last chunk, when it was asked for."""
        return self._chunk(usage=self._usage(completion))

    def _called_function(self, completion: Completion) -> Function | None:
        # An answer that was cut off at max_tokens is no call, and is shown as the text that it is.
        if not self.calls_a_tool or completion.finish_reason != "stop":
            return None
        call = json.loads(completion.text)
        return Function(name=call["name"], arguments=json.dumps(call["arguments"]))

    def _usage(self, completion: Completion) -> CompletionUsage:
        return CompletionUsage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=completion.tokens,
            total_tokens=self.prompt_tokens + completion.tokens,
        )

    def _chunk(self, *choices: ChunkChoice, usage: CompletionUsage | None = None) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            object="chat.completion.chunk",
            system_fingerprint=self.fingerprint,
            choices=list(choices),
            usage=usage,
        )


class ModelEntry(Model):
    """One line of GET /v1/models, with vLLM's `root` and `parent` (None: a base model), the weights' SHA-256, and how
    an adapter's act."""

    root: str
    parent: str | None = None
    sha256: str
    form: LoraForm | None = None


def base_entry(model: ServedModel, created: int) -> ModelEntry:
    """The base model's line."""
    return ModelEntry(
        id=model.name, created=created, object="model", owned_by=OWNER, root=model.name, sha256=model.sha256
    )


def adapter_entry(adapter: Adapter, model: ServedModel, created: int) -> ModelEntry:
    """An adapter's line."""
    return ModelEntry(
        id=adapter.name,
        created=created,
        object="model",
        owned_by=OWNER,
        root=adapter.name,
        parent=model.name,
        sha256=adapter.sha256,
        form=adapter.settings.form,
    )


def _call_id() -> str:
    return f"call_{uuid4().hex[:24]}"
