"""Agents that follow a script, for tests of how runs are played. They answer from their memory, as models do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from domain.model_call import Message, ModelCall, Usage
from domain.ports import ModelUnavailable
from domain.roster import AgentSpec, ModelSpec


def a_spec(name: str, ballot: str = "likelihood", adapter: str | None = "team") -> AgentSpec:
    return AgentSpec(name, "plays", f"You are {name}.", ModelSpec("embedded", "tiny"), adapter, ballot)


@dataclass
class ScriptedAgent:
    """Its answers show what it remembers; its scores and verdicts follow from the texts alone."""

    spec: AgentSpec
    adapter: str | None
    max_tokens: int | None
    calls: list[tuple[str, str, tuple[Message, ...]]]
    broken: bool = False
    memory: list[Message] = field(default_factory=list)

    async def answer(self, turn: str) -> ModelCall:
        heard = (*self.memory, Message("user", turn))
        output = "" if "silent" in self.spec.name else f"{turn}? {_digest(self.spec.name, *_texts(heard))}"
        self.remember(turn, output)
        return self._call("answer", heard, output)

    def remember(self, turn: str, answer: str) -> None:
        self.memory += [Message("user", turn), Message("assistant", answer)]

    async def score(self, conversation: Sequence[Message]) -> ModelCall:
        digest = _digest(self.spec.name, *_texts(conversation))
        return self._call("score", tuple(conversation), "", score=-int(digest[:2], 16) / 64)

    async def compare(self, question: str) -> ModelCall:
        letter = "AB"[int(_digest(self.spec.name, question)[0], 16) % 2]
        return self._call("compare", (Message("user", question),), f'{{"better": "{letter}"}}')

    def _call(self, what: str, messages: tuple[Message, ...], output: str, score: float | None = None) -> ModelCall:
        if self.broken:
            raise ModelUnavailable("the model's endpoint is gone")
        self.calls.append((self.spec.name, what, messages))
        return ModelCall(messages, output, "tiny", Usage(3, 2), 0.1, "stop", self.adapter, score=score)


@dataclass
class ScriptedAgents:
    """The AgentFactory port. `calls` are those of all its agents: who, what for, and what went in."""

    broken: frozenset[str] = frozenset()
    calls: list[tuple[str, str, tuple[Message, ...]]] = field(default_factory=list)
    created: list[ScriptedAgent] = field(default_factory=list)

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
        agent = ScriptedAgent(spec, adapter, max_tokens, self.calls, spec.name in self.broken)
        self.created.append(agent)
        return agent


def _texts(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages]


def _digest(*texts: str) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()[:8]
