"""The mistakes in a YAML file, each with the lines around it and a pointer to the place."""

from __future__ import annotations

import re
from dataclasses import dataclass

import streamlit as st

from ui.texts import count, plain

_PLACE = re.compile(r"line (\d+), column (\d+)")
AROUND = 1
"""Lines shown before the wrong one."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One message, and where it points (None: at the file as a whole). Counted from 1."""

    message: str
    line: int | None
    column: int | None


def parse(detail: str) -> list[Mistake]:
    """The mistakes in an API's answer, which has one a line."""
    return [_mistake(line) for line in detail.splitlines() if line.strip()]


def excerpt(text: str, mistake: Mistake) -> str:
    """The wrong line with its number, the one before, and a caret below the place. Empty without a place."""
    lines = text.splitlines()
    if mistake.line is None or mistake.column is None or not 0 < mistake.line <= len(lines):
        return ""
    first = max(1, mistake.line - AROUND)
    width = len(str(mistake.line))
    shown = [f"{number:>{width}} │ {lines[number - 1]}" for number in range(first, mistake.line + 1)]
    return "\n".join([*shown, f"{'':>{width}} │ {' ' * (mistake.column - 1)}▲"])


def show_mistakes(text: str, detail: str) -> None:
    """All of them, below the text that they are in."""
    mistakes = parse(detail)
    st.error(f"Not saved: {count(len(mistakes), 'mistake')}.", icon=":material/error:")
    for mistake in mistakes:
        st.markdown(plain(mistake.message))
        if lines := excerpt(text, mistake):
            st.code(lines, language=None)


def _mistake(line: str) -> Mistake:
    place = _PLACE.search(line)
    return Mistake(line, int(place[1]), int(place[2])) if place else Mistake(line, None, None)
