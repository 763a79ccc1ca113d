"""One call of a model, as it is recorded: what went in, what came out, what it cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an agent used. `arguments` and `result` are JSON text."""

    name: str
    arguments: str
    result: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the model's endpoint counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call and its outcome. `latency` is in seconds.

    `model` is the name that the endpoint was asked for, `adapter` the LoRA adapter in it (None for the base),
    `model_revision` the endpoint's own fingerprint of the weights that answered. `score`, in a scoring call, is the
    mean log-probability per token (nats) of the conversation's assistant turns. `error` is for a call that failed
    and is recorded all the same; none is yet: the end of the run tells why.
    """

    messages: tuple[Message, ...]
    output: str
    model: str
    usage: Usage
    latency: float
    finish_reason: str
    adapter: str | None = None
    model_revision: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    score: float | None = None
    error: str | None = None
