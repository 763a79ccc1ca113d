"""Whatever an endpoint sends becomes an event that can be read again, or is no chat completion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from adapters.endpoint_values import MOST_TOOL_CALLS, count, tame, words
from domain.text import is_storable

NASTY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.just("\ud800\x00"), st.just([[]])
)


@pytest.mark.parametrize(
    ("sent", "counted"),
    [(7, 7), (1.5, 0), ("7", 0), (True, 0), (None, 0), (-3, 0), (2**31, 2**30 - 1), (10**400, 2**30 - 1)],
)
def test_tokens_are_whole_numbers_that_a_column_holds(sent: object, counted: int) -> None:
    assert count(sent) == counted


def test_words_are_storable_and_no_longer_than_they_may_be() -> None:
    assert words("a\x00\ud800") == "a\u241b0000\u241bd800"
    assert words(123) == "123"
    assert len(words("x" * 10_000)) == 200


@given(fingerprint=NASTY, tokens=NASTY, reason=NASTY, name=NASTY, arguments=NASTY, usage=NASTY, content=NASTY)
@settings(deadline=None, max_examples=60)
def test_a_hostile_response_is_tamed(
    fingerprint: Any, tokens: Any, reason: Any, name: Any, arguments: Any, usage: Any, content: Any
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": content, "tool_calls": [call]}
    response = ChatCompletion.construct(
        choices=[{"index": 0, "message": message, "finish_reason": reason}],
        system_fingerprint=fingerprint,
        usage={"prompt_tokens": tokens, "completion_tokens": tokens} if usage else usage,
    )
    tame(response)
    choice = response.choices[0]
    said = [choice.finish_reason, choice.message.content, response.system_fingerprint]
    assert all(is_storable(text) for text in said if text is not None)
    if response.usage:
        assert 0 <= response.usage.prompt_tokens < 2**31


@pytest.mark.parametrize("choices", ["nothing", [None], [{"message": None}], [{}]])
def test_what_is_no_completion_is_told(choices: Any) -> None:
    with pytest.raises((AttributeError, TypeError, LookupError)):
        tame(ChatCompletion.construct(choices=choices, system_fingerprint=None, usage=None))


def test_an_answer_that_asks_for_tools_without_end_is_cut() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
    message = {"role": "assistant", "content": "", "tool_calls": [call] * 100_000}
    choices = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
    response = ChatCompletion.construct(id="", created=0, model="m", object="chat.completion", choices=choices)
    tame(response)
    assert len(response.choices[0].message.tool_calls or []) == MOST_TOOL_CALLS
