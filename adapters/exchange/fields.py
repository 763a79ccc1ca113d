"""What a raw row holds, read strictly: each function says in plain words what is wrong with a field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from domain.model_call import Message

Raw = Mapping[str, Any]
ROLES = ("system", "user", "assistant", "tool")
MOST_NAME = 200
"""Characters of a model's or an annotator's name."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SHOWN = 60


class Unfit(ValueError):
    """Why a row makes no pair."""


def text(raw: Raw, field: str) -> str:
    """The field's text. Raises Unfit where there is none, or one that nobody should be shown."""
    return as_text(given(raw, field), field)


def given(raw: Raw, field: str) -> object:
    """The field's value. Raises Unfit where it is missing, or null."""
    if field not in raw:
        raise Unfit(f"{field} is missing")
    if raw[field] is None:
        raise Unfit(f"{field} is null")
    return raw[field]


def as_text(value: object, field: str) -> str:
    """The value as text. Raises Unfit."""
    if not isinstance(value, str):
        raise Unfit(f"{field} is no text but {_kind(value)}")
    if found := _CONTROL.search(value):
        raise Unfit(f"{field} holds the character U+{ord(found[0]):04X}, which is no part of a text")
    return value


def name(raw: Raw, field: str) -> str | None:
    """A short name; None where there is none."""
    if raw.get(field) is None:
        return None
    found = text(raw, field)
    if len(found) > MOST_NAME:
        raise Unfit(f"{field} has {len(found):,} characters, where a name has at most {MOST_NAME}")
    return found


def number(raw: Raw, field: str) -> float:
    """A number, finite. Raises Unfit."""
    value = given(raw, field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{field} is no number but {_kind(value)}")
    try:
        found = float(value)
    except OverflowError as error:
        raise Unfit(f"{field} is too large a number") from error
    if not math.isfinite(found):
        raise Unfit(f"{field} is {found}, which is no number")
    return found


def conversation(raw: Raw, field: str) -> tuple[Message, ...]:
    """A list of messages with `role` and `content`. Raises Unfit."""
    value = given(raw, field)
    if not isinstance(value, list):
        raise Unfit(f"{field} is no list of messages but {_kind(value)}")
    return tuple(_message(each, f"{field}[{n}]") for n, each in enumerate(value))


def _message(value: object, field: str) -> Message:
    if not isinstance(value, dict):
        raise Unfit(f"{field} is no message but {_kind(value)}")
    if more := [key for key, held in value.items() if key not in ("role", "content") and held not in (None, [], {})]:
        raise Unfit(f"{field} holds more than role and content: {', '.join(map(shortened, more))}")
    role = as_text(given(value, "role"), f"{field}.role") if "role" in value else ""
    if role not in ROLES:
        raise Unfit(f"{field}.role is {shortened(role)!r}; it must be one of {', '.join(ROLES)}")
    if value.get("content") is None:
        raise Unfit(f"{field}.content is missing, or null")
    return Message(role, as_text(value["content"], f"{field}.content"))


def shortened(value: object) -> str:
    """For a sentence: what somebody else wrote, on one line, and not all of it where it is long."""
    words = _CONTROL.sub("?", " ".join(str(value).split()))
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
