"""Counting tokens without a network: CAMEL's own counters fetch a vocabulary when they are first used."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from camel.messages import OpenAIMessage
from camel.utils import BaseTokenCounter
from tokenizers import Tokenizer

TOKENS_A_MESSAGE = 5
"""Role and separators around each message, in ChatML and its like."""

BYTES_A_TOKEN = 3
"""Fewer than common vocabularies have on English text (about 4), so that the guess is rather too high."""


class _OfflineTokenCounter(BaseTokenCounter):
    def count_tokens_from_messages(self, messages: list[OpenAIMessage]) -> int:
        """All messages, with what stands around each."""
        return sum(len(self.encode(str(message.get("content") or ""))) + TOKENS_A_MESSAGE for message in messages)


class ExactTokenCounter(_OfflineTokenCounter):
    """Counts with the model's own vocabulary, a `tokenizer.json`."""

    def __init__(self, tokenizer_file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def encode(self, text: str) -> list[int]:
        """The text's token ids, without special ones."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, token_ids: list[int]) -> str:
        """The text of these ids."""
        text: str = self._tokenizer.decode(token_ids)
        return text


class ApproximateTokenCounter(_OfflineTokenCounter):
    """A cautious guess for models whose vocabulary is not at hand. Its ids are the text's bytes, in threes."""

    def encode(self, text: str) -> list[int]:
        """One id for every three bytes of UTF-8."""
        data = text.encode(errors="surrogatepass")
        return [int.from_bytes(b"\x01" + data[at : at + BYTES_A_TOKEN]) for at in range(0, len(data), BYTES_A_TOKEN)]

    def decode(self, token_ids: list[int]) -> str:
        """The text that `encode` was given."""
        data = b"".join(id.to_bytes(BYTES_A_TOKEN + 1).lstrip(b"\x00")[1:] for id in token_ids)
        return data.decode(errors="surrogatepass")


@cache
def token_counter(tokenizer_file: Path | None) -> BaseTokenCounter:
    """An exact one where there is such a file. Vocabularies are read once."""
    if tokenizer_file and tokenizer_file.is_file():
        return ExactTokenCounter(tokenizer_file)
    return ApproximateTokenCounter()
