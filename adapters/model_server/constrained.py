"""Answers that are sure to match a JSON schema: llguidance allows only tokens that can still lead to one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from adapters.model_server.errors import BadRequest

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

Logits = NDArray[np.float32]

# A weak model that may write blanks between two tokens of JSON writes nothing else.
COMPACT: JsonCompileOptions = {"whitespace_flexible": False}


class ConstraintBroken(RuntimeError):
    """The matcher gave up on a grammar while an answer was being written."""


class Constraint:
    """One answer's progress through a grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def complete(self) -> bool:
        """Whether nothing more can follow."""
        return bool(self._matcher.is_stopped())

    def allow(self, logits: Logits) -> Logits:
        """The logits, shape [vocabulary], with -inf for every token that the grammar forbids now."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._require_health()
        allowed = np.unpackbits(bits, bitorder="little", count=len(logits)).astype(bool)
        return np.where(allowed, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """Step on by the token that was chosen. Raises ConstraintBroken."""
        self._matcher.consume_token(token)
        self._require_health()

    def _require_health(self) -> None:
        if self._matcher.is_error():
            raise ConstraintBroken(self._matcher.get_error())


class Grammars:
    """Makes constraints from JSON schemas for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> None:
        self._source = tokenizer
        self._vocabulary = vocabulary

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        return from_tokenizer(self._source, n_vocab=self._vocabulary)

    def from_schema(self, schema: Mapping[str, Any]) -> Constraint:
        """Raises BadRequest for a schema that is wrong or uses what llguidance does not support."""
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=COMPACT)
        except ValueError as error:
            raise BadRequest(f"the JSON schema cannot be used: {error}", "response_format") from error
        matcher = LLMatcher(self._tokenizer, grammar)
        if matcher.is_error():
            raise BadRequest(f"the JSON schema cannot be used: {matcher.get_error()}", "response_format")
        return Constraint(matcher)


def tool_call_schema(functions: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of a call, `{"name": ..., "arguments": {...}}`, of one of these OpenAI function definitions."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": function["name"]},
                    "arguments": function["parameters"] or {"type": "object", "additionalProperties": False},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for function in functions
        ]
    }
