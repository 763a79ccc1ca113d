"""Models asked to answer aloud: what they say is told while they say it, and recorded as if it had come at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import openai
from camel.models import BaseModelBackend
from loguru import logger

from adapters.live_text import LiveText, Utterance
from adapters.streamed_answer import NotStreamed, assembled
from domain.current_step import CurrentStep

REFUSALS = (openai.BadRequestError, openai.NotFoundError, openai.UnprocessableEntityError, NotStreamed)
"""What an endpoint that cannot stream may answer; so may one that refuses for another reason."""

Ask = Callable[..., Awaitable[Any]]
"""As a CAMEL model is asked."""


class Aloud:
    """The model `streaming`, and the same as `whole` for an endpoint that does not stream, or does not count the tokens
    of what it streams. Such an endpoint is among `silent` from then on, which all its models share."""

    def __init__(
        self, whole: BaseModelBackend, streaming: BaseModelBackend, endpoint: str, live: LiveText, silent: set[str]
    ) -> None:
        self._whole = whole
        self._streaming = streaming
        self._endpoint = endpoint
        self._live = live
        self._silent = silent

    @contextmanager
    def asking_for(self, step: CurrentStep) -> Iterator[Ask]:
        """How to ask for that step, as often as it takes."""
        with self._live.utterance(step) as said:
            yield partial(self._ask, said)

    async def _ask(self, said: Utterance, *question: Any) -> Any:
        if self._endpoint in self._silent:
            return await self._whole.arun(*question)
        try:
            answer = await assembled(await self._streaming.arun(*question), said.add)
        except REFUSALS as refusal:
            answer = await self._whole.arun(*question)  # raises where it was not the streaming that was refused
            if not isinstance(refusal, openai.NotFoundError):  # else what was missing, e.g. an adapter, is there now
                self._no_more(f"it does not stream: {refusal!r}")
            return answer
        except Exception:
            said.begin()
            raise
        if answer.usage is None:
            self._no_more("it does not count the tokens of what it streams")
        return self._whole.postprocess_response(answer)

    def _no_more(self, why: str) -> None:
        self._silent.add(self._endpoint)
        logger.info("{} is asked for whole answers from now on: {}", self._endpoint, why)
