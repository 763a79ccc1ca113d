"""The agents of a run as real CAMEL ChatAgents, on the embedded model or wherever else a model is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from camel.agents import ChatAgent
from camel.models import BaseModelBackend, ModelFactory, OpenAICompatibleModel
from camel.types import OpenAIBackendRole
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

from adapters import camel_memory as memory
from adapters.aloud import Aloud
from adapters.answer_cache import AnswerCache, KeptAnswers
from adapters.camel_model import RecordingModel, recording
from adapters.camel_platforms import EMBEDDED, SERVES_ADAPTERS, advice_on_platform
from adapters.endpoint_patience import PATIENCE_SECONDS, Endpoint
from adapters.known_secrets import Hide
from adapters.live_text import LiveText
from adapters.score_client import ScoreClient
from adapters.telemetry.work import carry_trace
from adapters.token_counter import token_counter
from adapters.tools.toolbox import NO_TOOLS, AgentTools, Toolbox
from domain import verdict
from domain.model_call import Message, ModelCall, ToolCall
from domain.model_hosts import ModelHosts
from domain.ports.agents import CannotScore, Heard, ModelRefused, ModelUnavailable, UsedTool
from domain.roster import AgentSpec, ModelSpec

CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS = 900.0, 10.0
"""Of one try. A request may wait long in a busy server's queue; to give up on it would only queue the same again."""

NO_TOKEN_LIMIT = 10**9
"""The endpoint itself refuses what is too long. CAMEL would silently shorten the memory instead."""

NO_KEY = "none"
"""OpenAI's client wants a key, even where the endpoint does not."""

_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": verdict.SCHEMA, "strict": True}}


class CamelAgent:
    """The Agent port. `verdicts` are the models to ask for a verdict, the best one first: where an endpoint refuses
    to hold its answer to a schema, the next one is asked."""

    def __init__(
        self,
        spec: AgentSpec,
        answers: RecordingModel,
        verdicts: Sequence[RecordingModel],
        scores: ScoreClient | None,
        tools: AgentTools,
    ) -> None:
        self.spec = spec
        self._answers = answers
        self._tools = tools
        self._verdicts = list(verdicts)
        self._scores = scores
        self._chat = self._chat_agent(answers)

    async def answer(self, heard: Heard, tools: bool = True) -> ModelCall:
        """Says its next words and remembers both. Raises ModelUnavailable and ToolsUnavailable."""
        offered = await self._tools.schemas() if tools else []
        self._hear(heard)
        context, _ = self._chat.memory.get_context()
        with recording(offered) as calls:  # not by a step of CAMEL's: that begins with a user, never with a tool
            await self._chat.model_backend.arun(context)
        self._say(calls[0])
        return calls[0]

    def remember(self, heard: Heard, said: ModelCall) -> None:
        """Puts recorded words back into memory."""
        self._hear(heard)
        self._say(said)

    async def use(self, wanted: ToolCall) -> UsedTool:
        """Uses one of its tools. Whatever goes wrong is in the call's `error`."""
        return await self._tools.use(wanted)

    async def reply(self, messages: Sequence[Message]) -> ModelCall:
        """What its model answers to just these. Raises ModelUnavailable."""
        with recording() as calls:
            await self._answers.arun([{"role": message.role, "content": message.content} for message in messages])
        return calls[0]

    async def score(self, conversation: Sequence[Message], given: Sequence[Message] = ()) -> ModelCall:
        """Mean log-probability of the assistant's turns after what is given, under its own system message, if it has
        one. Raises ModelUnavailable."""
        if self._scores is None:
            raise CannotScore(f"{self.spec.model.platform} cannot score answers; write `ballot: verdict`")
        told = (Message("system", self.spec.system_message),) if self.spec.system_message else ()
        return await self._scores.score(conversation, (*told, *given))

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

    def _hear(self, heard: Heard) -> None:
        for message, role in memory.messages_of(heard):
            self._chat.update_memory(message, role)

    def _say(self, said: ModelCall) -> None:
        self._chat.update_memory(memory.words_of(said), OpenAIBackendRole.ASSISTANT)

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


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a model is asked; agents for which that is the same share it."""

    model: ModelSpec
    adapter: str | None
    cache_seconds: float | None
    held_to_schema: bool = False


class CamelAgents:
    """The AgentFactory port. Models and connections are shared by the agents that it makes.

    `embedded_url` and `embedded_key` are those of the platform `embedded`; `tokenizer_file` is its tokenizer.json,
    where it is on this machine. `secrets` holds other endpoints' keys by the names that agents.yaml gives, and `hosts`
    says where these endpoints may be. `patience`: for how many seconds an endpoint may be away. What it says is kept as
    `hide` leaves it. Answers are told to `live` while they come, where they can be; those of agents whose configuration
    says so are kept in `answers`. Tools are in `toolbox`; without one, agents have none.
    """

    def __init__(
        self,
        embedded_url: str,
        embedded_key: str,
        tokenizer_file: Path | None,
        secrets: Mapping[str, str],
        hosts: ModelHosts | None = None,
        patience: float = PATIENCE_SECONDS,
        hide: Hide = str,
        live: LiveText | None = None,
        toolbox: Toolbox | None = None,
        answers: AnswerCache | None = None,
    ) -> None:
        self._embedded_url = embedded_url
        self._embedded_key = embedded_key
        self._tokenizer_file = tokenizer_file
        self._secrets = secrets
        self._hosts = hosts or ModelHosts()
        self._patience = patience
        self._hide = hide
        self._live = live
        self._toolbox = toolbox
        self._answers = answers
        self._silent: set[str] = set()
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._models: dict[_Asked, RecordingModel] = {}

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> CamelAgent:
        """Raises ModelUnavailable when its key is not set, its platform or host is not allowed (any more), or the
        platform refuses the configuration, and ToolsUnavailable when a tool is not allowed (any more)."""
        if advice := advice_on_platform(spec.model.platform):
            raise ModelUnavailable(f"{_name(spec.model)} cannot be used: {advice}")
        if spec.model.url and not self._hosts.allow(spec.model.url):
            raise ModelUnavailable(f"{_name(spec.model)} is at no host that CARAVAN_MODEL_HOSTS lists: add it there")
        sampling = spec.model.sampling
        cap = min(sampling.max_tokens, max_tokens or sampling.max_tokens)
        capped = replace(spec.model, sampling=replace(sampling, max_tokens=cap))
        asked = _Asked(spec.model, adapter, spec.cache_seconds)
        verdicts = [self._model(asked)]
        scores = None
        if spec.model.platform in SERVES_ADAPTERS:
            verdicts.insert(0, self._model(replace(asked, held_to_schema=True)))
            client, name = self._client(spec.model), adapter or spec.model.name
            scores = ScoreClient(client, name, adapter, self._endpoint(spec.model), self._kept(asked))
        tools = self._toolbox.tools(spec.tools) if self._toolbox else NO_TOOLS
        return CamelAgent(spec, self._model(replace(asked, model=capped)), verdicts, scores, tools)

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            await client.close()

    def _model(self, asked: _Asked) -> RecordingModel:
        if asked not in self._models:
            self._models[asked] = self._new_model(asked)
        return self._models[asked]

    def _kept(self, asked: _Asked) -> KeptAnswers | None:
        if self._answers is None or asked.cache_seconds is None:
            return None
        return self._answers.of(asked.model, self._url(asked.model), asked.adapter, asked.cache_seconds)

    def _new_model(self, asked: _Asked) -> RecordingModel:
        model, adapter, held_to_schema = asked.model, asked.adapter, asked.held_to_schema
        embedded = model.platform == EMBEDDED
        compatible = model.platform in SERVES_ADAPTERS
        settings = _settings(model)
        if held_to_schema:
            # Not as CAMEL's own response_format: that asks the model a second time when the answer does not fit.
            settings["extra_body"] = {"response_format": _SCHEMA}

        # The factory would take a model of the name `stub` for its own, whatever the platform.
        create = OpenAICompatibleModel if compatible else partial(ModelFactory.create, model.platform)

        def backend(settings: dict[str, Any]) -> BaseModelBackend:
            return create(
                model_type=adapter or model.name,
                model_config_dict=settings,
                token_counter=token_counter(self._tokenizer_file if embedded else None),
                api_key=self._key(model),
                url=self._url(model),
                timeout=CALL_TIMEOUT_SECONDS,
                max_retries=0,
                async_client=self._client(model) if compatible else None,
            )

        aloud = None
        try:
            inner = backend(settings)
            if self._live and compatible and not held_to_schema:
                aloud = Aloud(inner, backend(settings | _STREAM), _name(model), self._live, self._silent)
        except (ValueError, ImportError) as error:
            raise ModelUnavailable(f"{_name(model)} cannot be used: {self._hide(str(error))}") from error
        return RecordingModel(inner, adapter, self._endpoint(model), aloud, self._kept(asked))

    def _endpoint(self, model: ModelSpec) -> Endpoint:
        return Endpoint(_name(model), self._patience, self._hide)

    def _client(self, model: ModelSpec) -> AsyncOpenAI:
        url, key = self._url(model) or "", self._key(model) or NO_KEY
        if (url, key) not in self._clients:
            # A proxy that the environment names cannot reach this machine's own server.
            timeout = Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
            http = DefaultAsyncHttpxClient(
                trust_env=model.platform != EMBEDDED,
                follow_redirects=False,  # it would send prompt and key to a host that nobody has listed
                event_hooks={"request": [carry_trace]},
            )
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
            raise ModelUnavailable(
                f"{_name(model)} needs a key: export {model.key_env} before the worker starts, or put it into a "
                "file of that name in CARAVAN_SECRETS_DIR"
            )
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
def _name(model: ModelSpec) -> str:
    """For messages to people, e.g. `smollm2-135m-instruct (embedded)`."""
    return f"{model.name} ({model.url or model.platform})"
