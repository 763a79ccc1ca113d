"""Answers of models, given again to those who ask the very same: for agents whose configuration says so, and no others.

Whatever determines an answer is part of its question. What cannot be known is what an endpoint serves under a name; for
our own, the digests of the weights stand in for the names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from loguru import logger

from adapters.kv import Bucket
from adapters.locked_values import Cache
from domain.roster import ModelSpec

BUCKET = Bucket("answers", seconds=30 * 86400, most_bytes=256 * 2**20)
"""No agent's answers are given again after a longer time."""
FORM = 1
"""Of what is kept: another one asks other questions."""
WHOLE = frozenset({"stop", "length", "tool_calls", "scored"})
"""Finish reasons of answers that are kept. One cut off at its token limit would be cut off there again."""

Weights = Callable[[str, str | None], Mapping[str, str] | None]
"""Digests that stand for a model of ours, asked by its name, and an adapter; None where it is not known which weights
those are."""


class AnswerCache:
    """Shared by the models of a process. `weights` may take its time and fail."""

    def __init__(self, cache: Cache, weights: Weights) -> None:
        self._cache = cache
        self._weights = weights

    def of(self, model: ModelSpec, url: str | None, adapter: str | None, seconds: float) -> KeptAnswers:
        """Those of one model, where they are no older than that."""
        about = {"platform": model.platform, "url": url, "model": model.name, "adapter": adapter, "form": FORM}
        return KeptAnswers(self._cache, about, lambda: self._weights(model.platform, adapter), seconds)


class KeptAnswers:
    """What that model said before."""

    def __init__(
        self,
        cache: Cache,
        about: Mapping[str, Any],
        weights: Callable[[], Mapping[str, str] | None],
        seconds: float,
    ) -> None:
        self._cache = cache
        self._about = about
        self._ask_for_weights = weights
        self._seconds = seconds
        self._weights: Mapping[str, str] | None = None

    async def find(self, asked: Mapping[str, Any]) -> bytes | None:
        """The answer, in its endpoint's form; hostile until it is validated."""
        question = await self._question(asked)
        return None if question is None else await self._cache.find(question, self._seconds)

    async def keep(self, asked: Mapping[str, Any], answer: bytes, finish_reason: str) -> None:
        """For the next one who asks so."""
        if finish_reason in WHOLE and (question := await self._question(asked)):
            await self._cache.keep(question, answer)

    async def _question(self, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self._weights is None:
            try:
                self._weights = await asyncio.to_thread(self._ask_for_weights)
            except Exception as error:  # of whatever the weights are looked up in: then the model is asked
                logger.warning("no answer is given again while the weights are not known: {!r}", error)
        return None if self._weights is None else {**self._about, "weights": self._weights, "asked": asked}
