"""Agents at work: what a run needs of models, tools and frameworks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.model_call import Message, ModelCall, ToolCall
from domain.roster import AgentSpec
from domain.workforce import Report

Heard = str | Sequence[ToolCall]
"""What an agent answers to: a turn, or the tools that it wanted in its last words, used."""


@dataclass(frozen=True, slots=True)
class UsedTool:
    """What came of a tool, and how long it took."""

    call: ToolCall
    seconds: float


class Agent(Protocol):
    """One agent in one run, with its own memory. `answer`, `score` and `compare` make exactly one model call and return
    its record; a call that failed is raised as ModelUnavailable."""

    @property
    def spec(self) -> AgentSpec: ...

    async def answer(self, heard: Heard, tools: bool = True) -> ModelCall:
        """Says its next words and remembers both. It may want some of its tools first, unless `tools` is False.

        Raises ModelUnavailable, and ToolsUnavailable where it cannot be told which tools it has.
        """

    def remember(self, heard: Heard, said: ModelCall) -> None:
        """Puts words that are recorded already back into memory, without a model call."""

    async def use(self, wanted: ToolCall) -> UsedTool:
        """Uses one of its tools. Whatever goes wrong is in the call's `error`."""

    async def reply(self, messages: Sequence[Message]) -> ModelCall:
        """What its model answers to just these messages. It neither adds to them nor remembers any."""

    async def score(self, conversation: Sequence[Message], given: Sequence[Message] = ()) -> ModelCall:
        """How likely this agent, under its own system message and adapter, finds the assistant's turns of a
        conversation that goes on from what is `given`, whose own turns do not count."""

    async def compare(self, question: str) -> ModelCall:
        """Its verdict on two answers, shown in `question` as A and B; `domain.verdict` reads it from the output."""


class ModelUnavailable(Exception):
    """A model's endpoint did not answer, or refused; worth another try later."""


class ModelRefused(ModelUnavailable):
    """The endpoint understood the request and will not serve it; the same request will be refused again."""


class CannotScore(ModelRefused):
    """It only answers, as vLLM does: how likely it finds a given answer cannot be asked there."""


class InputRefused(ModelRefused):
    """Because of what was sent, e.g. more tokens than the model takes: another input may well be served."""


class ToolsUnavailable(Exception):
    """An agent cannot be given its tools: their server does not start, or they are allowed no longer."""


class AgentFactory(Protocol):
    """Makes the agents of a run."""

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> Agent:
        """`adapter` is the pinned name (None: the base model); `max_tokens` caps each answer."""


Ask = Callable[[str, str, Sequence[Message]], Awaitable[str]]
"""Has an agent, by its name, answer just these messages, in a phase. Raises what ends the work."""

Tell = Callable[[Report], Awaitable[None]]
"""Takes note of what was done. Raises what ends the work."""


class Society(Protocol):
    """A framework that has a team work a task out. Whom it asks what next follows from what it was answered, and from
    nothing else; it asks one at a time."""

    async def work_out(self, task: str, team: Sequence[AgentSpec], ask: Ask, tell: Tell) -> None:
        """Returns when nothing is left to do, and nothing of it still runs. `team`: the coordinator, then the workers.

        Raises the first thing that `ask` or `tell` raised, and calls neither after that.
        """


class Adapters(Protocol):
    """What is in use, as far as the read model has come."""

    def promoted(self, alias: str) -> str | None:
        """The adapter that the alias means now, e.g. `team@2`; None where nothing is promoted."""
