from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ui.texts import ago, brief, count, moment, number, plain, short, span

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
WORD_JOINER = "\u2060"
HOSTILE = st.text(st.sampled_from("ab1 \n\t*_`~#>-+.![]()<>|\\:$&@/\"'{}=^"), max_size=60)


@given(HOSTILE)
def test_text_in_a_place_that_renders_markdown_is_shown_as_it_was_written(text):
    blocks = MARKDOWN.parse(plain(text))
    inline = [token for token in blocks if token.type == "inline"]
    assert all(token.type in ("paragraph_open", "inline", "paragraph_close") for token in blocks)
    assert all(child.type in ("text", "text_special") for token in inline for child in token.children or [])
    shown = "".join(child.content for token in inline for child in token.children or [])
    assert shown.replace(WORD_JOINER, "") == " ".join(text.split())


@pytest.mark.parametrize(
    "text", ["see http://evil.example", "HTTPS://evil.example", "www.evil.example", "a.b@evil.com"]
)
def test_an_address_in_a_text_does_not_become_a_link(text):
    assert WORD_JOINER in plain(text)


def test_the_name_of_an_adapter_stays_as_it_is():
    assert plain("team@1") == "team@1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.42, "0.4 s"), (12.3, "12 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_read_well(seconds, text):
    assert span(seconds) == text


def test_times_are_told_by_their_distance():
    now = datetime.now(UTC)
    assert ago(None) == "–"
    assert ago(now.isoformat()) == "just now"
    assert ago((now - timedelta(minutes=3)).isoformat()) == "3 min 0 s ago"
    assert moment("2026-11-22T18:17:34Z") == datetime(2026, 11, 22, 18, 17, 34, tzinfo=UTC)


def test_long_texts_and_ids_are_shortened():
    assert brief("one\ntwo", 20) == "one two"
    assert brief("x" * 30, 10) == "x" * 9 + "…"
    assert short("01a2047a-4f8b-7334-9cdd-06f25f492065") == "…5f492065"
    assert short(None) == "–"


def test_numbers_read_well():
    assert count(1, "pair") == "1 pair"
    assert count(1200, "pair") == "1,200 pairs"
    assert number(None) == "–"
    assert number(0.12345) == "0.123"
