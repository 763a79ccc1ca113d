"""Values as YAML text, in the style of what stood there before, where that can say them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from ruamel.yaml.nodes import ScalarNode

from adapters import plain_yaml
from domain.errors import Invalid

INDENT = 2
_PLACES = ("k: {}", "{{k: {}}}")
"""What is plain in the one is not always in the other, e.g. a lone colon."""
UNFOLDED = 100
"""How wide a folded text is written that had one line before."""
_HEADER = re.compile(r"[|>][-+0-9]*(?P<comment>[ \t]+#[^\r\n]*)?")
_BODY_INDENT = re.compile(r"(?:[\r\n]+ *)*[\r\n]+(?P<blanks> +)\S")


def in_styles(value: object, old: ScalarNode | None, old_text: str, indent: int, newline: str) -> Iterator[str]:
    """Ways to write a scalar in the place of `old`, the closest to it first; not each is sure to read back as meant.
    `indent`: of the lines of a block. The last line is left open."""
    if isinstance(value, str):
        if indent and (_is_block(old) or "\n" in value):
            yield from _blocks(value, old_text if _is_block(old) else "|", indent, newline)
        if old is not None and old.style == "'" and "\n" not in value:
            yield "'" + value.replace("'", "''") + "'"
        if old is not None and old.style == '"':
            yield double_quoted(value)
    yield on_one_line(value)


def on_one_line(value: object) -> str:
    """In flow style, which every place takes; text in quotes where it needs them."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {on_one_line(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return f"[{', '.join(map(on_one_line, value))}]"
        case str():
            plain = "\n" not in value and all(_reads_as(template.format(value), value) for template in _PLACES)
            return value if plain else double_quoted(value)
        case _:
            return json.dumps(value)


def on_lines(value: Mapping[str, Any], indent: int, newline: str) -> str:
    """In block style, a line for each entry. The first one is not indented, and the last one is left open."""
    entries = []
    for key, one in value.items():
        match one:
            case Mapping() if one:
                below = indent + INDENT
                entries.append(f"{key}:{newline}{' ' * below}{on_lines(one, below, newline)}")
            case str() if "\n" in one and _reads_as(f"k: {_literal(one, INDENT, chr(10))}\n", one):
                entries.append(f"{key}: {_literal(one, indent + INDENT, newline)}")
            case _:
                entries.append(f"{key}: {on_one_line(one)}")
    return f"{newline}{' ' * indent}".join(entries)


def double_quoted(value: str) -> str:
    """As JSON would; what cannot be seen is escaped."""
    return "".join(
        character if character.isprintable() else _escaped(character)
        for character in json.dumps(value, ensure_ascii=False)
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_block(node: ScalarNode | None) -> bool:
    return node is not None and node.style in ("|", ">")


def _literal(value: str, indent: int, newline: str) -> str:
    return next(_blocks(value, "|", indent, newline))


def _blocks(value: str, old: str, indent: int, newline: str) -> Iterator[str]:
    """Folded where the old one was, and literal."""
    header, body = _HEADER.match(old), _BODY_INDENT.search(old)
    comment = (header and header["comment"]) or ""
    margin = newline + (body["blanks"] if body else " " * indent)
    chomping = "-" if not value.endswith("\n") else "+" if value.endswith("\n\n") else ""
    lines = value.removesuffix("\n").split("\n")

    def block(sign: str, lines: list[str]) -> str:
        return sign + chomping + comment + "".join(margin + line if line else newline for line in lines)

    if old.startswith(">"):
        widths = [len(line.strip()) for line in old.splitlines()[1:]]
        width = max(widths) if len(widths) > 1 else UNFOLDED
        folded = [wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""] for line in lines]
        yield block(">", "\n\n".join("\n".join(paragraph) for paragraph in folded).split("\n"))
    yield block("|", lines)


def _reads_as(written: str, value: str) -> bool:
    try:
        return bool(plain_yaml.load(written).values == {"k": value})
    except Invalid:
        return False
