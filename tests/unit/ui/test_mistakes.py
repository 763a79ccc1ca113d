from __future__ import annotations

from ui.mistakes import Mistake, excerpt, parse

TEXT = "agents:\n  - name: one\n    modell: x\n"


def test_each_line_of_the_answer_is_a_mistake_with_its_place():
    found = parse("line 3, column 5 (agents.0.modell): no such setting\nthe file is too long\n")
    assert [(mistake.line, mistake.column) for mistake in found] == [(3, 5), (None, None)]


def test_the_place_is_shown_below_the_line_before_it():
    assert excerpt(TEXT, Mistake("", 3, 5)) == "2 │   - name: one\n3 │     modell: x\n  │     ▲"


def test_the_first_line_has_none_before_it():
    assert excerpt(TEXT, Mistake("", 1, 1)) == "1 │ agents:\n  │ ▲"


def test_a_mistake_without_a_place_or_beyond_the_text_shows_no_lines():
    assert excerpt(TEXT, Mistake("", None, None)) == ""
    assert excerpt(TEXT, Mistake("", 99, 1)) == ""
