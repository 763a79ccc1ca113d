"""An answer that comes in pieces, put together into the one that would have come at once.

The SDK has an accumulator of its own; it refuses answers that were cut off at their token limit, which are answers too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta

WORDS = ("content", "reasoning_content", "refusal")
"""What of a message comes in pieces of text."""


class NotStreamed(Exception):
    """Not one piece came: the endpoint answers in some other way."""


class BrokenOff(ConnectionError):
    """The stream ended before the answer did."""


async def assembled(chunks: AsyncIterator[ChatCompletionChunk], say: Callable[[str], None]) -> ChatCompletion:
    """The answer, once it is complete; `say` is given each piece of its text. Raises NotStreamed, BrokenOff, and what
    the connection raises; AttributeError, TypeError or LookupError for what are no chunks."""
    envelope: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    finish_reason = None
    async for chunk in _unbroken(chunks):
        envelope |= {name: value for name in ("id", "created", "model") if (value := getattr(chunk, name, None))}
        envelope |= {name: value for name in ("system_fingerprint", "usage") if (value := getattr(chunk, name, None))}
        for choice in chunk.choices or ():
            if choice.index == 0:
                _add(message, choice.delta)
                say(choice.delta.content or "")
                finish_reason = choice.finish_reason or finish_reason
    if not envelope:
        raise NotStreamed
    if finish_reason is None:
        raise BrokenOff("the answer broke off")
    choices = [{"index": 0, "finish_reason": finish_reason, "message": message}]
    return ChatCompletion.construct(object="chat.completion", choices=choices, **envelope)  # as the SDK makes it


async def _unbroken(chunks: AsyncIterator[ChatCompletionChunk]) -> AsyncIterator[ChatCompletionChunk]:
    """An error that is told within the stream has no status, and breaks it off as a lost connection does."""
    try:
        async for chunk in chunks:
            yield chunk
    except (openai.APIConnectionError, openai.APIStatusError):
        raise
    except openai.APIError as error:
        raise BrokenOff(f"the answer broke off: {error}") from error


def _add(message: dict[str, Any], delta: ChoiceDelta) -> None:
    for name in WORDS:
        if (piece := getattr(delta, name, None)) is not None:
            message[name] = (message.get(name) or "") + piece
    for call in delta.tool_calls or ():
        known = message.setdefault("tool_calls", [])
        if call.index == len(known):
            known.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        whole = known[call.index]
        whole["id"] = call.id or whole["id"]
        if call.function:
            whole["function"]["name"] += call.function.name or ""
            whole["function"]["arguments"] += call.function.arguments or ""
