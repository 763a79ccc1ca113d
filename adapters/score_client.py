"""How likely a model finds given answers, from an endpoint's `POST /score`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import httpx
from openai import AsyncOpenAI
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.answer_cache import KeptAnswers
from adapters.endpoint_patience import Endpoint, NoSuchRoute, persistently
from adapters.endpoint_values import count, words
from adapters.telemetry.gen_ai import SCORE, model_call
from domain.model_call import Message, ModelCall, Usage
from domain.ports.agents import CannotScore, InputRefused, ModelRefused

SCORED = "scored"
"""The finish reason of such calls: nothing was generated."""

REFUSALS: Mapping[type[Exception], type[ModelRefused]] = {InputRefused: InputRefused, NoSuchRoute: CannotScore}
OTHERWISE = "where an endpoint has no `POST /score` like that of Caravan's model server, write `ballot: verdict`"


class _Usage(BaseModel):
    prompt_tokens: Any
    completion_tokens: Any


class _Score(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)  # it may be cut within a secret, which then is none to us

    mean_logprob: Annotated[float, Field(ge=-1e6, le=0)]
    system_fingerprint: Any = None
    usage: _Usage


class ScoreClient:
    """`model` is the name to ask for, `adapter` the LoRA adapter that it stands for (None: the base). Where there are
    answers `kept`, what was asked before is not asked again."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        adapter: str | None,
        endpoint: Endpoint,
        kept: KeptAnswers | None = None,
    ) -> None:
        self._client = client
        self._model = model
        self._adapter = adapter
        self._endpoint = endpoint
        self._kept = kept

    async def score(self, conversation: Sequence[Message], given: Sequence[Message] = ()) -> ModelCall:
        """The mean log-probability per token (nats) of all the assistant's messages after those that are `given`.
        Raises ModelUnavailable.

        Its usage counts as output the tokens that were scored.
        """
        messages = (*given, *conversation)
        body = {
            "model": self._model,
            "messages": [asdict(message) for message in messages],
            "given": len(given),
        }
        began = time.monotonic()
        if known := await self._scored_before(body):
            score, usage = known, Usage()
        else:
            score, began = await self._score(body)
            usage = Usage(count(score.usage.prompt_tokens), count(score.usage.completion_tokens))
        latency = time.monotonic() - began
        revision = score.system_fingerprint
        return ModelCall(
            messages=messages,
            output="",
            model=self._model,
            usage=usage,
            latency=latency,
            finish_reason=SCORED,
            adapter=self._adapter,
            model_revision=None if revision is None else words(revision, hide=self._endpoint.hide),
            score=score.mean_logprob,
            cached=known is not None,
        )

    async def _score(self, body: Mapping[str, Any]) -> tuple[_Score, float]:
        """The endpoint's, and when the attempt began that it came of."""
        began = time.monotonic()

        async def attempt() -> httpx.Response:
            nonlocal began
            began = time.monotonic()
            with model_call(SCORE, self._model, url=str(self._client.base_url)):
                return await self._client.post("/score", cast_to=httpx.Response, body=body)

        try:
            response = await persistently(attempt, self._endpoint, self._adapter)
            score = _Score.model_validate_json(response.content)
        except (ModelRefused, ValidationError) as error:
            advice = "" if isinstance(error, InputRefused) else f"; {OTHERWISE}"
            raise REFUSALS.get(type(error), ModelRefused)(
                f"{self._endpoint.name} did not score an answer: {self._endpoint.hide(str(error))}{advice}"
            ) from error
        if self._kept:
            await self._kept.keep(body, response.content, SCORED)
        return score, began

    async def _scored_before(self, body: Mapping[str, Any]) -> _Score | None:
        if self._kept is None or (found := await self._kept.find(body)) is None:
            return None
        try:
            return _Score.model_validate_json(found)
        except ValidationError:
            return None
