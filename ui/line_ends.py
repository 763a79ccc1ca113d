"""The line ends of a file that goes through a browser, which knows one kind only."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def with_line_ends_of(old: str, text: str) -> str:
    """The text with the line ends that the old one had: each line that was there its own, new ones the first's."""
    before, after = _LINE.findall(old), _LINE.findall(text)
    usual = re.search(r"\r\n|\r|\n", old)
    lines = [_bare(line).replace("\n", usual[0] if usual else "\n") for line in after]
    matching = SequenceMatcher(None, [*map(_bare, before)], [*map(_bare, after)], autojunk=False)
    for was, now, size in matching.get_matching_blocks():
        lines[now : now + size] = before[was : was + size]
    return "".join(lines)


def _bare(line: str) -> str:
    """With one kind of end, where it has any."""
    return re.sub(r"\r\n|\r", "\n", line)
