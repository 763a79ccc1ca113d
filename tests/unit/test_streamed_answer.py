"""Pieces of an answer become the completion that the SDK would have made of the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from adapters.streamed_answer import BrokenOff, NotStreamed, assembled

HEAD = {"id": "x", "created": 1, "model": "m", "system_fingerprint": "f"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def piece(delta: Any = None, finish_reason: str | None = None, **more: Any) -> ChatCompletionChunk:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return ChatCompletionChunk.construct(object="chat.completion.chunk", choices=choices, **(HEAD | more))


async def streamed(*chunks: ChatCompletionChunk) -> AsyncIterator[ChatCompletionChunk]:
    for chunk in chunks:
        yield chunk


def whole(message: dict[str, Any], finish_reason: str) -> dict[str, Any]:
    choices = [{"index": 0, "finish_reason": finish_reason, "message": message}]
    answer = ChatCompletion.construct(object="chat.completion", choices=choices, usage=USAGE, **HEAD)
    return answer.model_dump(exclude_none=True)


async def test_words_and_their_end_and_what_they_cost():
    said: list[str] = []
    answer = await assembled(
        streamed(
            piece({"role": "assistant", "content": ""}),
            piece({"reasoning_content": "hm"}),
            piece({"content": "Be"}),
            piece({"content": "cause"}),
            piece({}, "length"),
            piece(usage=USAGE),
        ),
        said.append,
    )
    message = {"role": "assistant", "content": "Because", "reasoning_content": "hm"}
    assert answer.model_dump(exclude_none=True) == whole(message, "length")
    assert "".join(said) == "Because"


async def test_tool_calls_come_in_pieces_too():
    answer = await assembled(
        streamed(
            piece({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "search"}}]}),
            piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"q"'}}]}),
            piece({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
            piece({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "stop", "arguments": "{}"}}]}),
            piece({}, "tool_calls", usage=USAGE),
        ),
        lambda _text: None,
    )
    calls = [
        {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ]
    assert answer.model_dump(exclude_none=True) == whole({"role": "assistant", "tool_calls": calls}, "tool_calls")
    assert answer.choices[0].message.content is None


async def test_an_end_without_a_reason_is_a_break():
    with pytest.raises(BrokenOff):
        await assembled(streamed(piece({"content": "Be"})), lambda _text: None)


async def test_nothing_at_all_is_no_stream():
    with pytest.raises(NotStreamed):
        await assembled(streamed(), lambda _text: None)


@pytest.mark.parametrize(
    "hostile",
    [
        {"content": 7},
        {"content": ["a"]},
        {"tool_calls": [{"index": 5, "function": {"name": "x"}}]},
        {"tool_calls": [{"index": 0, "function": {"name": 7}}]},
        {"tool_calls": 7},
        7,
    ],
)
async def test_what_are_no_chunks_are_refused(hostile: Any):
    with pytest.raises((AttributeError, TypeError, LookupError)):
        await assembled(streamed(piece(hostile), piece({}, "stop")), lambda _text: None)
