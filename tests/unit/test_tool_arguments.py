"""What of a tool's schema is checked before the tool is used."""

from __future__ import annotations

import time
from typing import Any

import pytest

from adapters.tools.arguments import check
from adapters.tools.mcp_server import ToolFailed

SLOW = "(a+)+$"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": SLOW}}},
        {"patternProperties": {SLOW: {}}},
        {"patternProperties": {SLOW: {}}, "additionalProperties": False},
        {"patternProperties": {SLOW: {}}, "unevaluatedProperties": False},
    ],
)
def test_patterns_are_left_to_the_server(schema: Any) -> None:
    hostile = "a" * 200 + "!"
    began = time.process_time()
    check({"a": hostile, hostile: 1}, schema)
    assert time.process_time() - began < 5


def test_a_misspelt_argument_is_told_of() -> None:
    with pytest.raises(ToolFailed, match="'b' was unexpected"):
        check({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False})


def test_a_schema_of_another_age_is_read_too() -> None:
    with pytest.raises(ToolFailed, match="is not of type"):
        check({"a": 1}, {"$schema": "http://json-schema.org/draft-03/schema#", "properties": {"a": {"type": "string"}}})
