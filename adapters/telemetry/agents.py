"""Agents whose turns show in traces."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.telemetry import gen_ai
from domain.model_call import Message, ModelCall, ToolCall
from domain.ports.agents import Agent, AgentFactory, Heard, UsedTool
from domain.roster import AgentSpec


class TracedAgents:
    """An AgentFactory: that one's agents, each of their turns in a span."""

    def __init__(self, inner: AgentFactory) -> None:
        self._inner = inner

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> Agent:
        """Raises what the inner factory raises."""
        return TracedAgent(self._inner.create(spec, adapter, max_tokens), adapter)


class TracedAgent:
    """An Agent: that one, traced."""

    def __init__(self, inner: Agent, adapter: str | None) -> None:
        self._inner = inner
        self._adapter = adapter

    @property
    def spec(self) -> AgentSpec:
        return self._inner.spec

    async def answer(self, heard: Heard, tools: bool = True) -> ModelCall:
        with gen_ai.invoke_agent(self.spec, self._adapter) as answered:
            answered(call := await self._inner.answer(heard, tools))
        return call

    def remember(self, heard: Heard, said: ModelCall) -> None:
        self._inner.remember(heard, said)

    async def use(self, wanted: ToolCall) -> UsedTool:
        with gen_ai.execute_tool(wanted.name, wanted.id, wanted.arguments) as answered:
            used = await self._inner.use(wanted)
            answered(used.call)
        return used

    async def reply(self, messages: Sequence[Message]) -> ModelCall:
        with gen_ai.invoke_agent(self.spec, self._adapter) as answered:
            answered(call := await self._inner.reply(messages))
        return call

    async def score(self, conversation: Sequence[Message], given: Sequence[Message] = ()) -> ModelCall:
        with gen_ai.invoke_agent(self.spec, self._adapter) as answered:
            answered(call := await self._inner.score(conversation, given))
        return call

    async def compare(self, question: str) -> ModelCall:
        with gen_ai.invoke_agent(self.spec, self._adapter) as answered:
            answered(call := await self._inner.compare(question))
        return call
