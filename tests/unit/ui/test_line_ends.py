"""A browser's text area changes no line end of a file."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ui.line_ends import with_line_ends_of

LINES = st.lists(st.tuples(st.sampled_from(["", "a", "b: c"]), st.sampled_from(["\n", "\r\n"])), max_size=8)


def in_a_browser(text: str) -> str:
    return re.sub(r"\r\n|\r", "\n", text)


@given(lines=LINES, last=st.sampled_from(["", "d"]))
def test_what_nobody_changed_comes_back_byte_for_byte(lines: list[tuple[str, str]], last: str) -> None:
    text = "".join(line + end for line, end in lines) + last
    assert with_line_ends_of(text, in_a_browser(text)) == text


def test_what_is_new_has_the_usual_line_end_and_no_last_one_is_made_up() -> None:
    assert with_line_ends_of("a\r\nb\nc", "a\nnew\nb\nc") == "a\r\nnew\r\nb\nc"
    assert with_line_ends_of("a\r\nb\r\n", "a\nb") == "a\r\nb"
    assert with_line_ends_of("", "a\n") == "a\n"
