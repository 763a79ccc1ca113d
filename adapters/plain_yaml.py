"""YAML from people that nobody needs to trust: plain data only, with the place of each value for error messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from domain.errors import Invalid

MAX_BYTES = 256 * 2**10
MAX_DEPTH = 16

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
    """A document: its values as dicts, lists and scalars."""

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
    """Raises Invalid, with line and column, for what is no YAML, and for tags, anchors, aliases and repeated keys."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise Invalid(f"the file is larger than {MAX_BYTES // 1024} KiB; that is no list of agents")
    try:
        _refuse_what_is_not_plain(text)
        return PlainYaml(_yaml().load(text), _yaml().compose(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{Place(mark.line + 1, mark.column + 1)}: " if mark else ""
        problem = str(error.problem or error.context).splitlines()[0]
        raise Invalid(f"{where}this is no YAML: {problem}; compare it with the lines around it") from error
    except (YAMLError, ValueError, ArithmeticError, LookupError) as error:
        raise Invalid(f"this is no YAML: {str(error).splitlines()[0]}; remove that") from error


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _refuse_what_is_not_plain(text: str) -> None:
    """Before anything is built: aliases make a small file huge, tags name types, depth exhausts the stack."""
    depth = 0
    for event in _yaml().parse(text):
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise Invalid(f"{_event_place(event)}: anchors and aliases (&, *) are refused; write the value out")
        if getattr(event, "tag", None):
            raise Invalid(f"{_event_place(event)}: tags ({event.tag}) are refused; write the value without one")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise Invalid(f"{_event_place(event)}: nested more than {MAX_DEPTH} deep; an agent needs 3 levels")


def _place(node: Node | None) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1) if node else Place(1, 1)


def _event_place(event: Event) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
