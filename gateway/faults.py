"""What is wrong with a request, in words of the person who sent it and not of the library that noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

Location = Sequence[int | str]
Context = Mapping[str, Any]

NOT_JSON = "json_invalid"
NOT_STORABLE = "not_storable"
TOO_DEEP = "nested_too_deeply"
UNKNOWN_PARAMETER = "unknown_parameter"
"""Types of fault that are ours, beside pydantic's."""

WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here; remove it, or mend its spelling",
    "unexpected_keyword_argument": "is not known here; remove it, or mend its spelling",
    "union_tag_not_found": "is missing",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "finite_number": "must be a finite number",
    "timezone_aware": "must name its time zone, e.g. 2026-01-31T12:00:00Z",
    NOT_STORABLE: "holds NUL, a lone surrogate or a number out of range, which cannot be stored; remove it",
    TOO_DEEP: "is nested too deeply",
}
KINDS = {
    ("list", "tuple"): "must be a list",
    ("dict", "model", "dataclass"): "must be a JSON object",
    ("int",): "must be a whole number",
    ("float",): "must be a number",
    ("uuid",): "must be a UUID, e.g. 0198c0de-0000-7000-8000-000000000000",
    ("datetime",): "must be a date and time, e.g. 2026-01-31T12:00:00Z",
}
"""By how pydantic's types begin: `int_type`, `int_parsing` and `int_from_float` are one mistake to a person."""

BOUNDS: dict[str, Callable[[Context], str]] = {
    NOT_JSON: lambda context: f"is not valid JSON: {context['error']}",
    UNKNOWN_PARAMETER: lambda context: f"is not known here; {_known(context['known'])}",
    "union_tag_invalid": lambda context: f"must be {_choice(context['expected_tags'])}",
    "literal_error": lambda context: f"must be {_choice(context['expected'])}",
    "enum": lambda context: f"must be {_choice(context['expected'])}",
    "too_short": lambda context: f"must have at least {_count(context['min_length'], 'item')}",
    "too_long": lambda context: f"must have at most {_count(context['max_length'], 'item')}",
    "string_too_short": lambda context: f"must have at least {_count(context['min_length'], 'character')}",
    "string_too_long": lambda context: f"must have at most {_count(context['max_length'], 'character')}",
    "string_pattern_mismatch": lambda context: _pattern(context["pattern"]),
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "greater_than": lambda context: f"must be more than {context['gt']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "less_than": lambda context: f"must be less than {context['lt']}",
}


class Fault(BaseModel):
    """One thing wrong with a request: at a place in its body, or with a parameter."""

    pointer: str | None = Field(
        default=None, description="Where in the body, as a JSON pointer (RFC 6901); empty: the body as a whole"
    )
    parameter: str | None = Field(default=None, description="Which parameter of the address, or which header")
    detail: str

    def __str__(self) -> str:
        place = self.parameter or (self.pointer or "").removeprefix("/").replace("/", ".") or "the body"
        return f"{place} {self.detail}"


def fault(noticed: Mapping[str, Any], body: object) -> Fault:
    """What a pydantic error says. `body` is the one that was sent; None where it was refused before it was read."""
    kind, context = noticed["type"], noticed.get("ctx") or {}
    place, *path = noticed["loc"]
    detail = _say(kind, context) or str(noticed["msg"]).removeprefix("Value error, ")
    if place != "body":
        return Fault(parameter=".".join(map(str, path)), detail=detail)
    if kind == NOT_JSON:
        return Fault(pointer="", detail=f"{detail} (at character {path[0]})")
    if kind.startswith("union_tag"):
        path.append(context["discriminator"].strip("'"))
    return Fault(pointer=pointer(path if body is None else _without_tags(path, body)), detail=detail)


def pointer(path: Iterable[int | str]) -> str:
    """The JSON pointer to a place: empty for the whole."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _say(kind: str, context: Context) -> str | None:
    if kind in WORDS:
        return WORDS[kind]
    if kind in BOUNDS:
        return BOUNDS[kind](context)
    return next((words for kinds, words in KINDS.items() if kind.partition("_")[0] in kinds), None)


def _without_tags(path: Location, body: object) -> list[int | str]:
    """Pydantic names the variant of a union in the path; nothing in the body has that name."""
    place: list[int | str] = []
    for number, part in enumerate(path, start=1):
        inside = (isinstance(body, Mapping) and part in body) or (isinstance(body, list) and isinstance(part, int))
        if inside or number == len(path):
            place.append(part)
        if inside:
            body = body[part]  # type: ignore[index]
    return place


def _choice(quoted: str) -> str:
    head, _, last = quoted.replace(" or ", ", ").replace("'", "").rpartition(", ")
    return f"{head} or {last}" if head else last


def _known(names: Sequence[str]) -> str:
    return f"known are {', '.join(names)}" if names else "this takes no parameters"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _pattern(pattern: str) -> str:
    return "must not be blank" if pattern == r"\S" else f"must match {pattern}"
