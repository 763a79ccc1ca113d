"""YAML from people that nobody needs to trust: plain data only, with the place of each value for error messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from domain.errors import Invalid

MAX_BYTES = 256 * 2**10
MAX_DEPTH = 16
MAX_VALUES = 10_000
"""Keys count, too. 64 agents have some 3,000; ruamel takes minutes for what 256 KiB can hold."""

_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?")
"""What every version of YAML, JSON and a person read alike: no 0x1f, 017, 1_000, .inf or .nan."""

_HINTS = {
    r"'\t'": "indent with spaces, not with tabs",
    "mapping values": "put text that holds a colon and a space in quotes, or mend the indentation",
    "duplicate key": "keep one of them",
    "end of stream": "close the quote that is open",
    "stream end": "close the bracket that is open",
}
"""By what is in YAML's own words."""

Path = Sequence[str | int]
"""Keys and indexes that lead from the document's root to a value."""


@dataclass(frozen=True)
class Place:
    """Line and column, counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class PlainYaml:
    """A document: its text, its values as dicts, lists and scalars, and its nodes, which know where they stand."""

    text: str
    values: Any
    root: Node | None

    def place_of_value(self, path: Path) -> Place:
        """Where the value stands; where there is none, its nearest parent."""
        return _place(self._walk(path)[1])

    def place_of_key(self, path: Path) -> Place:
        """Where the key stands that leads to the value."""
        return _place(self._walk(path)[0])

    def _walk(self, path: Path) -> tuple[Node | None, Node | None]:
        key = value = self.root
        for step in path:
            if isinstance(value, SequenceNode) and isinstance(step, int):
                key = value = value.value[step]
            elif isinstance(value, MappingNode):
                entry = next((pair for pair in value.value if pair[0].value == step), None)
                if entry is None:
                    break
                key, value = entry
        return key, value


def load(text: str) -> PlainYaml:
    """Raises Invalid, with line and column, for what is no YAML, and for what people read otherwise than programs do:
    tags, anchors, aliases, merge keys, repeated keys, directives, dates, and numbers that are not plain decimals."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise Invalid(f"the file is larger than {MAX_BYTES // 1024} KiB; that is no list of agents: shorten it")
    try:
        _refuse_what_is_not_plain(text)
        yaml = _yaml()
        root = yaml.compose(text)
        if refused := [f"{_place(node)}: {why}" for node, why in _surprises(root)]:
            raise Invalid("\n".join(refused))
        return PlainYaml(text, yaml.constructor.construct_document(root) if root else None, root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{Place(mark.line + 1, mark.column + 1)}: " if mark else ""
        raise Invalid(f"{where}{_in_our_words(str(error.problem or error.context))}") from error
    except ReaderError as error:
        raise Invalid(f"{place_of(text, error.position)}: {_hidden(error.character)}; remove it") from error
    except (YAMLError, ValueError, ArithmeticError, LookupError) as error:
        raise Invalid(f"this is no YAML: {str(error).splitlines()[0]}; remove that") from error


def place_of(text: str, index: int) -> Place:
    """Where the character of that index stands."""
    before = text[:index]
    return Place(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _refuse_what_is_not_plain(text: str) -> None:
    """Before anything is built: aliases make a small file huge, tags name types, depth exhausts the stack."""
    depth = documents = values = 0
    for event in _yaml().parse(text):
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if event.version or event.tags:
                raise Invalid(
                    f"{_event_place(event)}: directives (%YAML, %TAG) are refused; remove those above this line"
                )
            if documents > 1:
                raise Invalid(f"{_event_place(event)}: a second document begins here; remove this --- line")
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise Invalid(f"{_event_place(event)}: anchors and aliases (&, *) are refused; write the value out")
        if getattr(event, "tag", None):
            raise Invalid(f"{_event_place(event)}: tags ({event.tag}) are refused; write the value without one")
        values += isinstance(event, NodeEvent)
        if values > MAX_VALUES:
            raise Invalid(
                f"{_event_place(event)}: more than {MAX_VALUES:,} values; that is no list of agents: shorten it"
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise Invalid(f"{_event_place(event)}: nested more than {MAX_DEPTH} deep; an agent needs 3 levels")


def _surprises(node: Node | None) -> Iterator[tuple[Node, str]]:
    """What YAML takes for something else than it looks like, and what to write instead."""
    match node:
        case MappingNode():
            for key, value in node.value:
                yield from _surprises_of_key(key)
                yield from _surprises(value)
        case SequenceNode():
            for value in node.value:
                yield from _surprises(value)
        case ScalarNode(tag=tag, value=written):
            kind = str(tag).removeprefix(_TAG)
            if kind in ("int", "float") and not _NUMBER.fullmatch(written):
                yield node, "write this number in plain decimal digits, e.g. 10 or 0.7; or in quotes, if it is text"
            elif kind == "timestamp":
                yield node, "YAML takes this for a date; put it in quotes"
            elif kind == "value":
                yield node, "YAML has a meaning of its own for =; put it in quotes"


def _surprises_of_key(key: Node) -> Iterator[tuple[Node, str]]:
    if str(key.tag) == f"{_TAG}merge":
        yield key, "merge keys (<<) are refused; write the lines out"
    elif str(key.tag) != f"{_TAG}str":
        yield key, "the name of a setting must be text, e.g. role; mend it"


def _in_our_words(problem: str) -> str:
    problem = problem.splitlines()[0].partition(" with value")[0]  # a value may be a secret
    advice = next((advice for said, advice in _HINTS.items() if said in problem), "compare it with the lines around it")
    return f"this is no YAML: {problem}; {advice}"


def _hidden(character: int) -> str:
    return "a NUL cannot be stored" if character == 0 else f"the invisible character U+{character:04X} is not allowed"


def _place(node: Node | None) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1) if node else Place(1, 1)


def _event_place(event: Event) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
