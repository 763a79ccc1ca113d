"""How likely a model finds given answers, from an endpoint's `POST /score`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import httpx
from openai import AsyncOpenAI
from pydantic import BaseModel, Field, ValidationError

from adapters.endpoint_patience import ModelRefused, persistently
from adapters.endpoint_values import count, words
from domain.model_call import Message, ModelCall, Usage

SCORED = "scored"
"""The finish reason of such calls: nothing was generated."""


class _Usage(BaseModel):
    prompt_tokens: Any
    completion_tokens: Any


class _Score(BaseModel):
    mean_logprob: Annotated[float, Field(ge=-1e6, le=0)]
    system_fingerprint: Any = None
    usage: _Usage


class ScoreClient:
    """`model` is the name to ask for, `adapter` the LoRA adapter that it stands for (None: the base)."""

    def __init__(self, client: AsyncOpenAI, model: str, adapter: str | None, endpoint: str, patience: float) -> None:
        self._client = client
        self._model = model
        self._adapter = adapter
        self._endpoint = endpoint
        self._patience = patience

    async def score(self, messages: Sequence[Message]) -> ModelCall:
        """The mean log-probability per token (nats) of all the assistant's messages. Raises ModelUnavailable.

        Its usage counts as output the tokens that were scored.
        """
        body = {"model": self._model, "messages": [asdict(message) for message in messages]}
        began = time.monotonic()

        async def attempt() -> httpx.Response:
            nonlocal began
            began = time.monotonic()
            return await self._client.post("/score", cast_to=httpx.Response, body=body)

        try:
            response = await persistently(attempt, self._endpoint, self._patience)
            latency = time.monotonic() - began
            score = _Score.model_validate_json(response.content)
        except (ModelRefused, ValidationError) as error:
            raise ModelRefused(
                f"{self._endpoint} did not score an answer: {error}; where an endpoint has no `POST /score` like that "
                "of Caravan's model server, write `ballot: verdict`"
            ) from error
        return ModelCall(
            messages=tuple(messages),
            output="",
            model=self._model,
            usage=Usage(count(score.usage.prompt_tokens), count(score.usage.completion_tokens)),
            latency=latency,
            finish_reason=SCORED,
            adapter=self._adapter,
            model_revision=None if score.system_fingerprint is None else words(score.system_fingerprint),
            score=score.mean_logprob,
        )
