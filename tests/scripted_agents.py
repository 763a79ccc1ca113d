"""Agents that follow a script, for tests of how runs are played. They answer from their memory, as models do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from domain.model_call import Message, ModelCall, ToolCall, Usage
from domain.ports.agents import CannotScore, Heard, InputRefused, ModelUnavailable, UsedTool
from domain.roster import AgentSpec, ModelSpec


def a_spec(
    name: str, ballot: str = "likelihood", adapter: str | None = "team", tools: tuple[str, ...] = ()
) -> AgentSpec:
    return AgentSpec(name, "plays", f"You are {name}.", ModelSpec("embedded", "tiny"), adapter, ballot, tools)


@dataclass
class ScriptedAgent:
    """Its answers show what it remembers; its scores and verdicts follow from the texts alone. What is endless it does
    not score, to what is unspeakable it makes no reply, and who is deaf compares nothing. In each turn it wants two
    tools at once, as often as it has tools."""

    spec: AgentSpec
    adapter: str | None
    max_tokens: int | None
    calls: list[tuple[str, str, tuple[Message, ...]]]
    broken: bool = False
    scores: bool = True
    memory: list[Message] = field(default_factory=list)

    async def answer(self, heard: Heard, tools: bool = True) -> ModelCall:
        self.memory += _messages(heard)
        if tools and self._rounds() < len(self.spec.tools):
            wanted = tuple(ToolCall("add", f"[{n}, {len(self.memory)}]", id=f"call-{n}") for n in range(2))
            call = self._call("answer", tuple(self.memory), "", tool_calls=wanted)
        else:
            asked = self.memory[-1].content
            output = "" if "silent" in self.spec.name else f"{asked}? {_digest(self.spec.name, *_texts(self.memory))}"
            call = self._call("answer", tuple(self.memory), output)
        self.memory.append(_words(call))
        return call

    def remember(self, heard: Heard, said: ModelCall) -> None:
        self.memory += [*_messages(heard), _words(said)]

    async def use(self, wanted: ToolCall) -> UsedTool:
        self.calls.append((self.spec.name, "tool", (Message("tool", wanted.arguments),)))
        return UsedTool(replace(wanted, result=_digest(wanted.arguments)), 0.5)

    def _rounds(self) -> int:
        """Of tools, two in each, since the last turn."""
        roles = "".join("t" if message.role == "tool" else message.role[0] for message in self.memory)
        return roles[roles.rindex("u") :].count("tt")

    async def reply(self, messages: Sequence[Message]) -> ModelCall:
        if any("unspeakable" in text for text in _texts(messages)):
            raise InputRefused("the prompt has too many tokens")
        return self._call("reply", tuple(messages), f"Thus says {_digest(self.spec.name, *_texts(messages))}")

    async def score(self, conversation: Sequence[Message], given: Sequence[Message] = ()) -> ModelCall:
        if not self.scores:
            raise CannotScore("the endpoint has no such route")
        read = (*given, *conversation)
        if any("endless" in text for text in _texts(read)):
            raise InputRefused("the answer has too many tokens")
        digest = _digest(self.spec.name, *_texts(read))
        return self._call("score", read, "", score=-int(digest[:2], 16) / 64)

    async def compare(self, question: str) -> ModelCall:
        if "deaf" in self.spec.name:
            raise InputRefused("the question has too many tokens")
        letter = "AB"[int(_digest(self.spec.name, question)[0], 16) % 2]
        return self._call("compare", (Message("user", question),), f'{{"better": "{letter}"}}')

    def _call(
        self,
        what: str,
        messages: tuple[Message, ...],
        output: str,
        score: float | None = None,
        tool_calls: tuple[ToolCall, ...] = (),
    ) -> ModelCall:
        if self.broken:
            raise ModelUnavailable("the model's endpoint is gone")
        self.calls.append((self.spec.name, what, messages))
        usage = Usage(3, 2)
        return ModelCall(messages, output, "tiny", usage, 0.1, "stop", self.adapter, score=score, tool_calls=tool_calls)


@dataclass
class ScriptedAgents:
    """The AgentFactory port. `calls` are those of all its agents: who, what for, and what went in."""

    broken: frozenset[str] = frozenset()
    score: bool = True
    calls: list[tuple[str, str, tuple[Message, ...]]] = field(default_factory=list)
    created: list[ScriptedAgent] = field(default_factory=list)

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
        agent = ScriptedAgent(spec, adapter, max_tokens, self.calls, spec.name in self.broken, self.score)
        self.created.append(agent)
        return agent


def _messages(heard: Heard) -> list[Message]:
    return [Message("user", heard)] if isinstance(heard, str) else [Message("tool", call.told) for call in heard]


def _words(said: ModelCall) -> Message:
    return Message("assistant", "".join([said.output, *(call.arguments for call in said.wanted)]))


def _texts(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages]


def _digest(*texts: str) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()[:8]
