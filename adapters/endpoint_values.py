"""What an endpoint says, made to fit an event: an endpoint may be broken or hostile, and the log is for good."""

from __future__ import annotations

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from domain.text import escape

LARGEST_COUNT = 2**30 - 1
"""Tokens asked and tokens said are added up in columns of four bytes."""
LONGEST_NAME = 200
LONGEST_TEXT = 1_000_000
MOST_TOOL_CALLS = 100
"""What else is asked for in one answer is dropped."""


def count(value: object) -> int:
    """A number of tokens: 0 where it is no whole number, and within bounds."""
    return min(max(value, 0), LARGEST_COUNT) if type(value) is int else 0


def words(value: object, longest: int = LONGEST_NAME) -> str:
    """As text that Postgres can hold, cut after `longest` characters (before they are escaped)."""
    return escape(str(value)[:longest])


def tame(response: ChatCompletion) -> None:
    """Brings all that is recorded of a response, or remembered, into types and bounds; OpenAI's client checks nothing.

    Raises AttributeError, TypeError or LookupError where it is no chat completion at all.
    """
    if response.system_fingerprint is not None:
        response.system_fingerprint = words(response.system_fingerprint)
    if response.usage is not None:
        asked = count(getattr(response.usage, "prompt_tokens", 0))
        said = count(getattr(response.usage, "completion_tokens", 0))
        response.usage = CompletionUsage(prompt_tokens=asked, completion_tokens=said, total_tokens=asked + said)
    for choice in response.choices:
        choice.finish_reason = words(choice.finish_reason)  # type: ignore[assignment]  # it may be any word
        message = choice.message
        if message.content is not None:
            message.content = words(message.content, LONGEST_TEXT)
        if message.tool_calls:
            message.tool_calls = message.tool_calls[:MOST_TOOL_CALLS]
        for call in message.tool_calls or []:
            if call.type == "function":
                call.id = words(call.id or "")
                call.function.name = words(call.function.name)
                call.function.arguments = words(call.function.arguments, LONGEST_TEXT)
