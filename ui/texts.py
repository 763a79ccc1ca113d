"""Words and numbers as people read them. What others wrote is escaped: a label or an alert would render it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

LIVE_STATES = ("requested", "running")
"""Of a run or a training to which more will happen by itself."""
FELL_SHORT = ("failed", "timed_out", "exhausted")
"""Of a run that ended before everything was done, and can be retried."""

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&])")
_LINK = re.compile(r"(?i)(?<=http)(?=s?://)|(?<=www)(?=\.)|(?<=[\w.+-])(?=@[\w-]+\.)")
_WORD_JOINER = "\u2060"

STATE_COLOURS = {
    "requested": "gray",
    "registered": "gray",
    "waiting": "gray",
    "running": "blue",
    "paused": "violet",
    "completed": "green",
    "built": "green",
    "promoted": "green",
    "imported": "blue",
    "disputed": "red",
    "settled": "green",
    "in use": "primary",
    "ok": "green",
    "stopped": "orange",
    "cancelled": "orange",
    "rolled_back": "orange",
    "retired": "orange",
    "withdrawn": "orange",
    "rejected": "orange",
    "failed": "red",
    "timed_out": "red",
    "exhausted": "red",
    "succeeded": "green",
    "dead": "red",
}


def plain(text: object) -> str:
    """The text for a place that renders Markdown (titles, labels, alerts), shown there as it was written: not even an
    address in it becomes a link, which an invisible character (U+2060) prevents."""
    line = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", _LINK.sub(_WORD_JOINER, line))


def brief(text: str, length: int = 80) -> str:
    """Its beginning, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def short(id: str | None) -> str:
    """An id's last characters: those of a UUIDv7 that tell it from its neighbours."""
    return f"…{id[-8:]}" if id else "–"


def span(seconds: float | None) -> str:
    """A duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def moment(text: str | None) -> datetime | None:
    """A time of the API's."""
    return datetime.fromisoformat(text) if text else None


def ago(text: str | None) -> str:
    """How long ago a time of the API's is."""
    at = moment(text)
    if at is None:
        return "–"
    seconds = (datetime.now(UTC) - at).total_seconds()
    return "just now" if seconds < 2 else f"{span(round(seconds) if seconds > 10 else seconds)} ago"


def count(number: int, thing: str) -> str:
    """1 pair, 2 pairs, 1,200 pairs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def number(value: Any, digits: int = 3) -> str:
    """A number with so many digits after the point; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"
