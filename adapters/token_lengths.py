"""Counting tokens as a training does, with the model's own vocabulary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

TOKENS_A_MESSAGE = 5
"""Role and separators around each message, in ChatML and its like."""


class TokenLengths:
    """Fulfils domain.ports.datasets.TokenCounter from a `tokenizer.json`, read when it is first needed."""

    def __init__(self, tokenizer_file: Path) -> None:
        self._file = tokenizer_file

    @cached_property
    def vocabulary(self) -> str:
        """The folder's name and the start of the file's SHA-256."""
        return f"{self._file.parent.name}@{hashlib.sha256(self._file.read_bytes()).hexdigest()[:12]}"

    def count(self, texts: Sequence[str]) -> int:
        """Of a conversation's messages, with what stands around each."""
        return sum(len(self._tokenizer.encode(text, add_special_tokens=False).ids) + TOKENS_A_MESSAGE for text in texts)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self._file))
