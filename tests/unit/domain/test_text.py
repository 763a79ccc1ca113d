"""Text that Postgres can hold: escaped where it must be, and back."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from domain.text import ESCAPE, escape, is_storable, unescape

ANY_TEXT = st.text(st.characters(codec=None, categories=None) | st.sampled_from(["\x00", "\ud800", "\udfff", ESCAPE]))


@given(ANY_TEXT)
@example(f"{ESCAPE}0000")
@example(f"{ESCAPE}{ESCAPE}241b")
def test_what_was_escaped_comes_back_letter_by_letter(text: str) -> None:
    assert unescape(escape(text)) == text


@given(ANY_TEXT)
def test_escaped_text_can_be_stored(text: str) -> None:
    assert is_storable(escape(text))
    escape(text).encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=["\x00", ESCAPE])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert is_storable(text)
    assert escape(text) == text


def test_what_postgres_cannot_hold_is_told() -> None:
    assert not is_storable("a\x00b")
    assert not is_storable("a\ud83d")
    assert is_storable("a pair that belongs together: 😀")
