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
    """A tool that a model asked for, or that was used. `arguments` are JSON, as the model wrote it; `id` is what its
    endpoint calls the request.

    What was asked for has no `result` yet; an `error` there says why nobody will do it. What was used has one of both.
    """

    name: str
    arguments: str
    result: str = ""
    error: str | None = None
    id: str = ""

    @property
    def told(self) -> str:
        """What the model is told of a tool that was used."""
        return self.result if self.error is None else f"Error: {self.error}"


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
    mean log-probability per token (nats) of the assistant turns that it was about. `error` is for a call that failed
    and is recorded all the same; none is yet: the end of the run tells why. `cached`: no model was asked, since the
    same had been asked before; no token was used, and `latency` is that of looking it up.
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
    cached: bool = False

    @property
    def wanted(self) -> tuple[ToolCall, ...]:
        """The tools that are to be used before the model goes on; none: what it said is its answer."""
        return tuple(call for call in self.tool_calls if not call.result and call.error is None)
