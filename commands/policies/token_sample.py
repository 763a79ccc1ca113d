"""How many tokens the pairs of a dataset have, by a sample of them: counting takes longer than building."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from domain.dataset_contents import TokenLengths, lengths
from domain.ports.datasets import TokenCounter

SIZE = 1_000
LIMITS = (256, 512, 1024, 2048, 4096)
"""Values of a training's `max_length` for which it is said how many pairs would be cut off."""
Sampled = tuple[bytes, str, int, bytes]
"""Its choice, part and number in it, and its line."""


class TokenSample:
    """The pairs whose choices hash lowest: the same of the same dataset. Counts nothing without a counter."""

    def __init__(self, tokens: TokenCounter | None) -> None:
        self._tokens = tokens
        self._taken: list[Sampled] = []
        self._highest = b"\xff" * 32 if tokens else b""

    def offer(self, choice: bytes, part: str, number: int, line: bytes) -> None:
        """The line of a pair of the dataset; it may be taken out of it again."""
        if choice < self._highest:
            self._taken.append((choice, part, number, line))
            if len(self._taken) >= 2 * SIZE:
                self._cut()

    def found(self, gone: Mapping[str, bytearray]) -> TokenLengths | None:
        """Of those that are not gone: a 1 says so, by part and line."""
        if self._tokens is None:
            return None
        self._cut()
        counts = Counter(
            self._count(json.loads(line), self._tokens)
            for _, part, number, line in self._taken
            if part not in gone or not gone[part][number]
        )
        of_all = lengths(counts)
        if of_all is None:
            return None
        over = {str(limit): sum(n for length, n in counts.items() if length > limit) for limit in LIMITS}
        return TokenLengths(self._tokens.vocabulary, counts.total(), of_all, over)

    def _cut(self) -> None:
        self._taken.sort(key=itemgetter(slice(3)))
        if len(self._taken) > SIZE:
            del self._taken[SIZE:]
            self._highest = self._taken[-1][0]

    @staticmethod
    def _count(row: dict[str, Any], tokens: TokenCounter) -> int:
        prompt, chosen, rejected = (
            tokens.count([message["content"] for message in row[column]]) for column in ("prompt", "chosen", "rejected")
        )
        return prompt + max(chosen, rejected)
