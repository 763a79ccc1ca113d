"""YAML changed where it must be, and nowhere else: new text is spliced in at the places that the parsed nodes give.

Every edit is read back before it is returned: the file must then say what was meant, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ruamel.yaml.nodes import CollectionNode, Node, ScalarNode, SequenceNode

from adapters import plain_yaml
from adapters.plain_yaml import Path, PlainYaml
from adapters.yaml_places import (
    BREAK,
    after_colon,
    blank_lines_end,
    end_of,
    is_blank_above,
    is_empty,
    is_flow,
    item_lines,
    line_end,
    line_start,
    start_of,
)
from adapters.yaml_text import INDENT, in_styles, on_lines, on_one_line
from domain.errors import Invalid

_BLOCK_HEADER = re.compile(r"(?P<sign>[|>])[-+]?(?P<indent>\d?)[-+]?")


def set_value(text: str, path: Path, value: object) -> str:
    """The text with that value at `path`, whose last key may be new. Raises Invalid where it cannot be done."""
    document = plain_yaml.load(text)
    meant = deepcopy(document.values)
    _at(meant, path[:-1])[path[-1]] = value
    return _first_that_says(meant, _with_value(document, path, value))


def append_item(text: str, path: Path, value: Mapping[str, Any]) -> str:
    """The text with one more item at the end of the list at `path`. Raises Invalid where it cannot be done."""
    document = plain_yaml.load(text)
    meant = deepcopy(document.values)
    _at(meant, path).append(value)
    return _first_that_says(meant, _with_item(document, path, value))


def remove(text: str, path: Path) -> str:
    """The text without what is at `path`; with an item of a list go the comments right above it and the blank lines
    below it. Raises Invalid where it cannot be done."""
    document = plain_yaml.load(text)
    meant = deepcopy(document.values)
    del _at(meant, path[:-1])[path[-1]]
    return _first_that_says(meant, _without(document, path))


def _first_that_says(meant: object, candidates: Iterator[str]) -> str:
    for candidate in candidates:
        try:
            if plain_yaml.load(candidate).values == meant:
                return candidate
        except Invalid:
            continue
    raise Invalid("the file is written in a way in which this cannot be changed alone; edit its text instead")


def _at(values: Any, path: Path) -> Any:
    for step in path:
        values = values[step]
    return values


def _with_value(document: PlainYaml, path: Path, value: object) -> Iterator[str]:
    text, newline = document.text, _newline(document.text)
    parent, in_flow = _walk(document, path[:-1])
    key, old = _entry(parent, path[-1])
    indent = 0 if in_flow else parent.start_mark.column + INDENT
    if old is None:
        yield from _with_key(text, parent, str(path[-1]), value, indent)
    elif isinstance(value, Mapping) and not in_flow and not is_flow(old):
        yield _spliced(text, start_of(old), end_of(text, old), on_lines(value, old.start_mark.column, newline))
    elif isinstance(old, ScalarNode) and not is_empty(old):
        end = end_of(text, old)
        for written in in_styles(value, old, text[start_of(old) : end], indent, newline):
            yield _spliced(text, start_of(old), end, written)
    elif is_flow(old):
        yield _spliced(text, start_of(old), end_of(text, old), on_one_line(value))
    elif key is not None:  # nothing stood there, or a list in lines: what is new goes into the line of the key
        begin = after_colon(text, key)
        end = begin if is_empty(old) else end_of(text, old)
        for written in in_styles(value, None, "", indent, newline):
            yield _spliced(text, begin, end, f" {written}")


def _with_key(text: str, mapping: CollectionNode, key: str, value: object, indent: int) -> Iterator[str]:
    if not indent:
        yield _with_flow_entry(text, mapping, f"{key}: {on_one_line(value)}")
        return
    newline, end = _newline(text), line_end(text, end_of(text, mapping))
    margin = newline + " " * mapping.start_mark.column
    for written in in_styles(value, None, "", indent, newline):
        yield _spliced(text, end, end, f"{margin}{key}: {written}")


def _with_item(document: PlainYaml, path: Path, value: Mapping[str, Any]) -> Iterator[str]:
    text, newline = document.text, _newline(document.text)
    items, in_flow = _walk(document, path)
    if in_flow or not isinstance(items, SequenceNode):
        yield _with_flow_entry(text, items, on_one_line(value))
        return
    column, last = items.start_mark.column, items.value[-1]
    offset = INDENT if is_flow(last) else max(INDENT, last.start_mark.column - column)
    first, end = item_lines(text, items, last)
    written = f"{newline}{' ' * column}-{' ' * (offset - 1)}{on_lines(value, column + offset, newline)}"
    gaps = (newline, "") if is_blank_above(text, first) else ("",)
    longer = [_spliced(text, end, end, gap + written) for gap in gaps]
    yield from longer
    yield from (_without_final_break(one, last) for one in longer)


def _without_final_break(text: str, node: Node) -> str:
    """The text in which a block at the end of that node has no break there: where the file ended with it, it had none,
    whatever its header says."""
    while isinstance(node, CollectionNode) and node.value:
        node = _last(node.value[-1])
    header = _BLOCK_HEADER.match(text, start_of(node))
    return _spliced(text, *header.span(), f"{header['sign']}{header['indent']}-") if header else text


def _with_flow_entry(text: str, collection: CollectionNode, written: str) -> str:
    if not collection.value:
        at = start_of(collection) + 1
        return _spliced(text, at, at, written)
    at = end_of(text, _last(collection.value[-1]))
    return _spliced(text, at, at, f", {written}")


def _without(document: PlainYaml, path: Path) -> Iterator[str]:
    text = document.text
    parent, in_flow = _walk(document, path[:-1])
    key, old = _entry(parent, path[-1])
    if old is None:
        return
    if in_flow:
        yield _without_flow_entry(text, parent, key or old, old)
    elif isinstance(parent, SequenceNode):
        first, end = item_lines(text, parent, old)
        yield from _without_lines(text, first, blank_lines_end(text, end))
        yield from _without_lines(text, first, end)
    elif key is not None:
        start = start_of(key)
        if text[line_start(text, start) : start].strip(" ") and len(parent.value) > 1:  # a dash is in its line
            yield _spliced(text, start, start_of(parent.value[1][0]), "")
        else:
            end = after_colon(text, key) if is_empty(old) else end_of(text, old)
            yield from _without_lines(text, line_start(text, start), line_end(text, end))


def _without_flow_entry(text: str, collection: CollectionNode, first: Node, last: Node) -> str:
    starts = [start_of(entry[0] if isinstance(entry, tuple) else entry) for entry in collection.value]
    index = starts.index(start_of(first))
    if index + 1 < len(starts):
        return _spliced(text, starts[index], starts[index + 1], "")
    begin = end_of(text, _last(collection.value[index - 1])) if index else starts[index]
    return _spliced(text, begin, end_of(text, last), "")


def _without_lines(text: str, start: int, end: int) -> Iterator[str]:
    """With the break that ends them, or at the end of the file the one before them, unless a text needs that."""
    if found := BREAK.match(text, end):
        yield _spliced(text, start, found.end(), "")
        return
    yield _spliced(text, line_end(text, line_start(text, start - 1)) if start else 0, end, "")
    yield _spliced(text, start, end, "")


def _walk(document: PlainYaml, path: Path) -> tuple[CollectionNode, bool]:
    """The collection there, and whether it is within brackets."""
    node: Any = document.root
    in_flow = is_flow(node)
    for step in path:
        _, node = _entry(node, step)
        in_flow = in_flow or is_flow(node)
    return node, in_flow


def _entry(node: Any, step: str | int) -> tuple[Node | None, Any]:
    """The key, where there is one, and the value; None where there is none."""
    if isinstance(node, SequenceNode):
        return None, node.value[step]
    return next((pair for pair in node.value if pair[0].value == step), (None, None))


def _last(entry: Node | tuple[Node, Node]) -> Node:
    return entry[1] if isinstance(entry, tuple) else entry


def _newline(text: str) -> str:
    found = BREAK.search(text)
    return found[0] if found else "\n"


def _spliced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]
