"""The form of an event's data as JSON Schema, reduced to what a stored event can be told by."""

from __future__ import annotations

from typing import Any

from eventsourcing.domain import AggregateEvent
from pydantic import TypeAdapter

from adapters.event_json import IDENTITY

Json = dict[str, Any]

PROSE = frozenset({"title", "description", "$defs"})
VALUES = frozenset({"const", "default"})
SETS = frozenset({"enum", "required"})


def schema_of(event_type: type[AggregateEvent]) -> Json:
    """What the data of these events may be, as the codec that writes them says. Names of Python classes, their
    docstrings and the order of fields are left out: they may change, and every stored event is still read."""
    schema = TypeAdapter(event_type).json_schema()
    plain: Json = _plain(schema, schema.get("$defs", {}))
    return plain | {
        "properties": {name: value for name, value in plain["properties"].items() if name not in IDENTITY},
        "required": [name for name in plain["required"] if name not in IDENTITY],
    }


def _plain(schema: Any, named: Json) -> Any:
    """With every reference to a class in `named` replaced by what it stands for."""
    match schema:
        case {"$ref": str(reference), **beside}:
            return _plain(named[reference.rpartition("/")[2]] | beside, named)
        case dict():
            return {key: _part(key, value, named) for key, value in schema.items() if key not in PROSE}
        case list():
            return [_plain(item, named) for item in schema]
        case _:
            return schema


def _part(key: str, value: Any, named: Json) -> Any:
    if key in VALUES:
        return value
    if key in SETS:
        return sorted(value)
    if key == "properties":
        return {name: _plain(item, named) for name, item in value.items()}
    return _plain(value, named)
