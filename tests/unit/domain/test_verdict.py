"""A verdict is read where it is plain, and never guessed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.model_call import Message
from domain.ranking import Outcome
from domain.verdict import SCHEMA, outcome_of, question


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        ('{"better": "A"}', Outcome.FIRST),
        ('{"better": "B"}', Outcome.SECOND),
        ('{"better": "tie"}', Outcome.TIE),
        ('Let me think.\n```json\n{"better": "b", "why": "it is shorter"}\n```', Outcome.SECOND),
        ('{"better": "A"', Outcome.FIRST),
        ("A", Outcome.FIRST),
        ("**B**.", Outcome.SECOND),
        ("Answer A", Outcome.FIRST),
        ("The better answer is: B", Outcome.SECOND),
        ("tie", Outcome.TIE),
    ],
)
def test_a_plain_verdict_is_read(output: str, outcome: Outcome) -> None:
    assert outcome_of(output) is outcome


@pytest.mark.parametrize(
    "output",
    [
        "",
        "A good answer would be B",
        "Both have merit.",
        "A or B",
        '{"better": "C"}',
        '{"better": null}',
        '{"better": "A"} no, wait: {"better": "B"}',
        '{"winner": "A"}',
        "As an assistant I cannot judge.",
    ],
)
def test_anything_else_is_kept_as_unparseable(output: str) -> None:
    assert outcome_of(output) is Outcome.UNPARSEABLE


@given(st.text())
def test_no_output_breaks_the_reader(output: str) -> None:
    assert outcome_of(output) in Outcome


@pytest.mark.parametrize(
    "output",
    ["!" * 100_000, "{" * 100_000, '{"a' * 30_000, "the better " * 10_000, "[" * 300_000, "A" + " " * 300_000],
)
def test_an_output_made_to_take_long_is_read_at_once(output: str) -> None:
    began = time.process_time()
    assert outcome_of(output) is Outcome.UNPARSEABLE
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000])
def test_json_that_python_will_not_read_is_no_verdict(value: str) -> None:
    assert outcome_of(f'{{"better": {value}}}') is Outcome.UNPARSEABLE


def test_a_question_shows_task_and_both_answers_with_the_users_later_turns() -> None:
    def conversation(answer: str) -> list[Message]:
        said = [("user", "Why?"), ("assistant", answer), ("user", "And?"), ("assistant", "Ok")]
        return [Message(role, content) for role, content in said]

    text = question(conversation("Because"), conversation("Dunno"))
    assert text.startswith("Task:\nWhy?\n\nAnswer A:\nBecause\n\n[The user: And?]\n\nOk\n\nAnswer B:\nDunno\n\n")


def test_whatever_the_schema_allows_can_be_read() -> None:
    allowed = SCHEMA["properties"]["better"]["enum"]
    assert [outcome_of(f'{{"better": "{word}"}}') for word in allowed] == [Outcome.FIRST, Outcome.SECOND, Outcome.TIE]
