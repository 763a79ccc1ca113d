"""The agents of a run as real CAMEL ChatAgents, on the embedded model or wherever else a model is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from camel.agents import ChatAgent
from camel.messages import BaseMessage
from camel.models import ModelFactory
from camel.types import OpenAIBackendRole
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

from adapters.agents_yaml import EMBEDDED, OPENAI_COMPATIBLE, SERVES_ADAPTERS
from adapters.camel_model import RecordingModel, recording
from adapters.endpoint_patience import PATIENCE_SECONDS, ModelRefused
from adapters.score_client import ScoreClient
from adapters.token_counter import token_counter
from domain import verdict
from domain.model_call import Message, ModelCall
from domain.ports import ModelUnavailable
from domain.roster import AgentSpec, ModelSpec

CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS = 900.0, 10.0
"""Of one try. A request may wait long in a busy server's queue; to give up on it would only queue the same again."""

NO_TOKEN_LIMIT = 10**9
"""The endpoint itself refuses what is too long. CAMEL would silently shorten the memory instead."""

NO_KEY = "none"
"""OpenAI's client wants a key, even where the endpoint does not."""

_SCHEMA = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": verdict.SCHEMA, "strict": True}}


class CamelAgent:
    """The Agent port. `verdicts` are the models to ask for a verdict, the best one first: where an endpoint refuses
    to hold its answer to a schema, the next one is asked."""

    def __init__(
        self, spec: AgentSpec, answers: RecordingModel, verdicts: Sequence[RecordingModel], scores: ScoreClient | None
    ) -> None:
        self.spec = spec
        self._verdicts = list(verdicts)
        self._scores = scores
        self._chat = self._chat_agent(answers)

    async def answer(self, turn: str) -> ModelCall:
        """Says its next turn and remembers both. Raises ModelUnavailable."""
        with recording() as calls:
            response = await self._chat.astep(turn)
        if not response.msgs:  # CAMEL does not remember an empty answer; without it, roles would not alternate
            self._remember_answer("")
        return calls[0]

    def remember(self, turn: str, answer: str) -> None:
        """Puts a recorded turn back into memory."""
        self._chat.update_memory(BaseMessage.make_user_message("User", turn), OpenAIBackendRole.USER)
        self._remember_answer(answer)

    async def score(self, conversation: Sequence[Message]) -> ModelCall:
        """Mean log-probability of the assistant's turns, under its own system message. Raises ModelUnavailable."""
        if self._scores is None:
            raise ModelRefused(f"{self.spec.model.platform} cannot score answers; write `ballot: verdict`")
        return await self._scores.score((Message("system", self.spec.system_message), *conversation))

    async def compare(self, question: str) -> ModelCall:
        """Its verdict, with no memory of anything else. Raises ModelUnavailable."""
        while True:
            model = self._verdicts[0]
            try:
                with recording() as calls:
                    await self._chat_agent(model).astep(question)
            except ModelRefused:
                if model is self._verdicts[-1]:
                    raise
                if model is self._verdicts[0]:  # and not given up already, for a question asked at the same time
                    self._verdicts.pop(0)
            else:
                return calls[0]

    def _chat_agent(self, model: RecordingModel) -> ChatAgent:
        return ChatAgent(
            self.spec.system_message,
            model=model,
            agent_id=self.spec.name,
            token_limit=NO_TOKEN_LIMIT,
            summarize_threshold=None,
            max_iteration=1,
            retry_attempts=1,
            step_timeout=None,
        )

    def _remember_answer(self, text: str) -> None:
        message = BaseMessage.make_assistant_message(self._chat.role_name, text)
        self._chat.update_memory(message, OpenAIBackendRole.ASSISTANT)


class CamelAgents:
    """The AgentFactory port. Models and connections are shared by the agents that it makes.

    `embedded_url` and `embedded_key` are those of the platform `embedded`; `tokenizer_file` is its tokenizer.json,
    where it is on this machine. `secrets` holds other endpoints' keys by the names that agents.yaml gives. `patience`:
    for how many seconds an endpoint may be away.
    """

    def __init__(
        self,
        embedded_url: str,
        embedded_key: str,
        tokenizer_file: Path | None,
        secrets: Mapping[str, str],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._embedded_url = embedded_url
        self._embedded_key = embedded_key
        self._tokenizer_file = tokenizer_file
        self._secrets = secrets
        self._patience = patience
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._models: dict[tuple[ModelSpec, str | None, bool], RecordingModel] = {}

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> CamelAgent:
        """Raises ModelUnavailable when its key is not set or its platform refuses the configuration."""
        sampling = spec.model.sampling
        cap = min(sampling.max_tokens, max_tokens or sampling.max_tokens)
        capped = replace(spec.model, sampling=replace(sampling, max_tokens=cap))
        verdicts = [self._model(spec.model, adapter, held_to_schema=False)]
        scores = None
        if spec.model.platform in SERVES_ADAPTERS:
            verdicts.insert(0, self._model(spec.model, adapter, held_to_schema=True))
            client, name = self._client(spec.model), adapter or spec.model.name
            scores = ScoreClient(client, name, adapter, _endpoint(spec.model), self._patience)
        return CamelAgent(spec, self._model(capped, adapter, held_to_schema=False), verdicts, scores)

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            await client.close()

    def _model(self, model: ModelSpec, adapter: str | None, held_to_schema: bool) -> RecordingModel:
        key = (model, adapter, held_to_schema)
        if key not in self._models:
            self._models[key] = self._new_model(model, adapter, held_to_schema)
        return self._models[key]

    def _new_model(self, model: ModelSpec, adapter: str | None, held_to_schema: bool) -> RecordingModel:
        embedded = model.platform == EMBEDDED
        compatible = model.platform in SERVES_ADAPTERS
        settings = _settings(model)
        if held_to_schema:
            # Not as CAMEL's own response_format: that asks the model a second time when the answer does not fit.
            settings["extra_body"] = {"response_format": _SCHEMA}
        try:
            inner = ModelFactory.create(
                model_platform=OPENAI_COMPATIBLE if compatible else model.platform,
                model_type=adapter or model.name,
                model_config_dict=settings,
                token_counter=token_counter(self._tokenizer_file if embedded else None),
                api_key=self._key(model),
                url=self._url(model),
                timeout=CALL_TIMEOUT_SECONDS,
                max_retries=0,
                async_client=self._client(model) if compatible else None,
            )
        except (ValueError, ImportError) as error:
            raise ModelUnavailable(f"{_endpoint(model)} cannot be used: {error}") from error
        return RecordingModel(inner, adapter, _endpoint(model), self._patience)

    def _client(self, model: ModelSpec) -> AsyncOpenAI:
        url, key = self._url(model) or "", self._key(model) or NO_KEY
        if (url, key) not in self._clients:
            # A proxy that the environment names cannot reach this machine's own server.
            timeout = Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
            http = DefaultAsyncHttpxClient(trust_env=model.platform != EMBEDDED)
            self._clients[url, key] = AsyncOpenAI(
                base_url=url, api_key=key, http_client=http, timeout=timeout, max_retries=0
            )
        return self._clients[url, key]

    def _url(self, model: ModelSpec) -> str | None:
        return self._embedded_url if model.platform == EMBEDDED else model.url

    def _key(self, model: ModelSpec) -> str | None:
        if model.platform == EMBEDDED:
            return self._embedded_key
        if model.key_env is None:
            # Without any key, CAMEL would send such a URL the key that the environment holds for the platform.
            return NO_KEY if model.url else None
        if not (key := self._secrets.get(model.key_env)):
            raise ModelUnavailable(f"{_endpoint(model)} needs a key: export {model.key_env} before the worker starts")
        return key


def _settings(model: ModelSpec) -> dict[str, Any]:
    """What is the same as the endpoint's own default is left out, since some platforms refuse settings they lack."""
    sampling = model.sampling
    settings: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
    if sampling.top_p < 1:
        settings["top_p"] = sampling.top_p
    if sampling.seed is not None:
        settings["seed"] = sampling.seed
    return settings


@cache
def _endpoint(model: ModelSpec) -> str:
    """For messages to people, e.g. `smollm2-135m-instruct (embedded)`."""
    return f"{model.name} ({model.url or model.platform})"
