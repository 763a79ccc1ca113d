"""What an agent hears and says, as CAMEL remembers it: the same for what happens now and for what is recorded."""

from __future__ import annotations

from typing import Any

from camel.messages import BaseMessage, FunctionCallingMessage
from camel.types import OpenAIBackendRole, RoleType

from adapters.tools.arguments import arguments_in
from adapters.tools.mcp_server import ToolFailed
from adapters.tools.toolbox import as_models_write
from domain.model_call import ModelCall, ToolCall
from domain.ports.agents import Heard

_NAMES = {RoleType.USER: "User", RoleType.ASSISTANT: "assistant"}


def messages_of(heard: Heard) -> list[tuple[BaseMessage, OpenAIBackendRole]]:
    """A turn, or what came of each tool, and who says it."""
    if isinstance(heard, str):
        return [(_message(RoleType.USER, heard), OpenAIBackendRole.USER)]
    return [(_told(call), OpenAIBackendRole.FUNCTION) for call in heard]


def words_of(said: ModelCall) -> BaseMessage:
    """What it said, and the tools that it wanted."""
    return _message(RoleType.ASSISTANT, said.output, {"tool_calls": [_asked(call) for call in said.wanted]})


def _message(role: RoleType, content: str, more: dict[str, Any] | None = None) -> BaseMessage:
    return BaseMessage(role_name=_NAMES[role], role_type=role, meta_dict=more, content=content)


def _told(call: ToolCall) -> BaseMessage:
    return FunctionCallingMessage(
        role_name=call.name,
        role_type=RoleType.USER,
        meta_dict=None,
        content="",
        func_name=as_models_write(call.name),
        result=call.told,
        tool_call_id=call.id,
    )


def _asked(call: ToolCall) -> dict[str, Any]:
    """Endpoints may refuse a conversation in which a model asked for what is no name, or with arguments that are no
    JSON; what the tool said tells of both."""
    try:
        arguments_in(call.arguments)
        arguments = call.arguments or "{}"
    except ToolFailed:
        arguments = "{}"
    return {"id": call.id, "type": "function", "function": {"name": as_models_write(call.name), "arguments": arguments}}
