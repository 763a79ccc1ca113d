"""What an endpoint says, made to fit an event: an endpoint may be broken or hostile, and the log is for good."""

from __future__ import annotations

from functools import partial

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from adapters.known_secrets import Hide
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


def words(value: object, longest: int = LONGEST_NAME, hide: Hide = str) -> str:
    """As text that Postgres can hold, without secrets, cut after `longest` characters (before they are escaped)."""
    return escape(hide(str(value))[:longest])


def tame(response: ChatCompletion, hide: Hide = str) -> None:
    """Brings all that is recorded of a response, or remembered, into types and bounds, and has secrets hidden in it;
    OpenAI's client checks nothing.

    Raises AttributeError, TypeError or LookupError where it is no chat completion at all.
    """
    said = partial(words, hide=hide)
    if response.system_fingerprint is not None:
        response.system_fingerprint = said(response.system_fingerprint)
    if response.usage is not None:
        asked = count(getattr(response.usage, "prompt_tokens", 0))
        told = count(getattr(response.usage, "completion_tokens", 0))
        response.usage = CompletionUsage(prompt_tokens=asked, completion_tokens=told, total_tokens=asked + told)
    for choice in response.choices:
        choice.finish_reason = said(choice.finish_reason)  # type: ignore[assignment]  # it may be any word
        message = choice.message
        if message.content is not None:
            message.content = said(message.content, LONGEST_TEXT)
        if message.tool_calls:
            message.tool_calls = message.tool_calls[:MOST_TOOL_CALLS]
        for call in message.tool_calls or []:
            if call.type == "function":
                call.id = said(call.id or "")
                call.function.name = said(call.function.name)
                call.function.arguments = said(call.function.arguments, LONGEST_TEXT)
