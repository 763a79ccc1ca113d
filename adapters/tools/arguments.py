"""What a model wrote for a tool's arguments, checked before any tool sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from jsonschema.exceptions import best_match
from jsonschema.validators import extend, validator_for
from referencing import Registry

from adapters.tools.mcp_server import ToolFailed

LONGEST = 100_000
"""Characters."""
_SHOWN = 500

_UNCHECKED = ("pattern", "patternProperties", "unevaluatedProperties", "uniqueItems")
"""What matches patterns, or compares everything: that may take ages for what a model wrote, and nothing else of the
worker would run meanwhile."""


def arguments_in(text: str) -> dict[str, Any]:
    """The JSON object that it is; nothing stands for none. Raises ToolFailed, in words that a model can act on."""
    if len(text) > LONGEST:
        raise ToolFailed(f"the arguments have {len(text)} characters, and {LONGEST} are allowed")
    try:
        found = json.loads(text or "{}", parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ToolFailed(f"the arguments are no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ToolFailed("the arguments must be a JSON object")
    return found


def check(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raises ToolFailed where they are not as the tool's JSON schema demands. Nothing is fetched for it, and what could
    take for ever is left to the server."""
    try:
        validator = _checking(validator_for(schema))(schema, registry=Registry())
        mistake = best_match(validator.iter_errors(arguments))
    except Exception as error:  # a schema may be anything, and so may what is raised for it
        raise ToolFailed(f"the arguments cannot be checked: {error!r}"[:_SHOWN]) from error
    if mistake:
        raise ToolFailed(f"the arguments are not as they must be: {mistake.json_path}: {mistake.message}"[:_SHOWN])


def _checking(kind: Any) -> Any:
    """That kind of validator, which leaves to the server what could take for ever."""
    others = kind.VALIDATORS.get("additionalProperties")

    def no_others(validator: Any, allowed: Any, arguments: Any, schema: Mapping[str, Any]) -> Any:
        return None if "patternProperties" in schema else others(validator, allowed, arguments, schema)

    left = dict.fromkeys(_UNCHECKED, lambda *_: None)
    return extend(kind, {**left, "additionalProperties": no_others} if others else left)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
