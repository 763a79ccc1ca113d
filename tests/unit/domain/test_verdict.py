"""A verdict is read where it is plain, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ranking import Outcome
from domain.verdict import SCHEMA, outcome_of


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


def test_whatever_the_schema_allows_can_be_read() -> None:
    allowed = SCHEMA["properties"]["better"]["enum"]
    assert [outcome_of(f'{{"better": "{word}"}}') for word in allowed] == [Outcome.FIRST, Outcome.SECOND, Outcome.TIE]
