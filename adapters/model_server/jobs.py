"""What the engine is asked to do. The `result` of a job is also how to cancel it: cancel the future."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from adapters.model_server.adapter_check import Adapter
from adapters.model_server.constrained import Constraint

FinishReason = Literal["stop", "length"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: greedily at temperature 0, else at random from the seed."""

    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Completion:
    """An answer. `tokens` counts what was generated, the end token included."""

    text: str
    finish_reason: FinishReason
    tokens: int


@dataclass(frozen=True)
class Score:
    """The mean natural log-probability of `tokens` tokens, each given all that came before."""

    mean_logprob: float
    tokens: int


@dataclass
class Job:
    """A prompt of token ids for the base model or one of its adapters."""

    prompt: list[int]
    adapter: Adapter | None
    result: Future[Any] = field(default_factory=Future, kw_only=True)


@dataclass
class ChatJob(Job):
    """Answer the prompt; the result is a Completion. `on_text` gets each new piece of text, in the engine's thread."""

    sampling: Sampling
    max_tokens: int
    stop: list[str] = field(default_factory=list)
    constraint: Constraint | None = None
    on_text: Callable[[str], None] = lambda _text: None


@dataclass
class ScoreJob(Job):
    """Score what follows the prompt; the result is a Score. `scored` says of each token in `answer` whether it counts
    (the assistant's, at least one) or only stands in between (the user's)."""

    answer: list[int]
    scored: list[bool]


def resolve(future: Future[Result], result: Result) -> None:
    """Set the result, unless the caller cancelled in the same moment."""
    try:
        future.set_result(result)
    except InvalidStateError:
        return


def reject(future: Future[Result], error: BaseException) -> None:
    """Set the error, unless the caller cancelled in the same moment."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        return
