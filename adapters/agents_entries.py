"""What may stand in agents.yaml: an entry for each agent, and for its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from adapters.camel_platforms import EMBEDDED, OPENAI_COMPATIBLE, SERVES_ADAPTERS, advice_on_platform
from adapters.tools.allowed import AllowedTools
from adapters.written_keys import may_hold_key
from domain.model_hosts import ModelHosts
from domain.roster import AgentSpec, ModelSpec, Sampling, seconds_in
from domain.text import is_storable

LONGEST_CACHE_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows: where models may be, and which tools agents may have."""

    hosts: ModelHosts
    tools: AllowedTools


def _allowed_platform(platform: str) -> str:
    if advice := advice_on_platform(platform):
        raise PydanticCustomError("platform", "{advice}", {"advice": advice})
    return platform


def _allowed_tool(tool: str, info: ValidationInfo[Allowed]) -> str:
    if advice := info.context.tools.advice_on(tool):
        raise PydanticCustomError("tool", "{advice}", {"advice": advice})
    return tool


def _for_models_that_choose(tools: list[str], info: ValidationInfo[Allowed]) -> list[str]:
    model = info.data.get("model")
    if tools and isinstance(model, ModelEntry) and model.platform == EMBEDDED:
        raise PydanticCustomError(
            "tools",
            "the embedded model is too small to choose tools, and would never use one; give the agent another model, "
            "or remove `tools`",
        )
    return tools


def _has_an_address(name: str) -> str:
    if name == "revisions":
        raise PydanticCustomError("name", "/v1/agents/revisions is something else; give the agent another name")
    return name


def _says_something(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("text", "there is nothing in it; write something")
    if not is_storable(text):
        raise PydanticCustomError("text", "NUL and lone surrogates cannot be stored; remove them")
    return text


def _in_one_word(name: str) -> str:
    if " " in name or not name.isprintable():
        raise PydanticCustomError(
            "name", "no model's name has blanks or control characters in it; write it as its endpoint lists it"
        )
    return name


def _a_while(duration: object) -> object:
    try:
        if isinstance(duration, str) and seconds_in(duration) <= LONGEST_CACHE_SECONDS:
            return duration
    except ValueError:
        pass
    raise PydanticCustomError(
        "cache",
        "write for how long an answer may be given again to the same question, e.g. 12h or 7d (s, m, h or d; at most "
        "30d); left out, every question is asked",
    )


def _holds_a_key(variable: str) -> str:
    if not may_hold_key(variable):
        raise PydanticCustomError(
            "key_env",
            "write the name of an environment variable that ends in _API_KEY and does not begin with CARAVAN_, "
            "e.g. REVIEWER_API_KEY; no other variable is sent to an endpoint, and a key itself never stands here",
        )
    return variable


def _leads_to_a_listed_host(url: str, info: ValidationInfo[Allowed]) -> str:
    hosts = info.context.hosts
    if info.data.get("platform") == OPENAI_COMPATIBLE and not hosts.allow(url):
        raise PydanticCustomError(
            "host",
            "models are asked at listed hosts only, which are {listed}; write one of these, or have the operator add "
            "yours to CARAVAN_MODEL_HOSTS",
            {"listed": hosts.listed},
        )
    return url


Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}(@production)?$")]
Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(_says_something)]
Url = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?$", max_length=500
    ),
    AfterValidator(_leads_to_a_listed_host),
]
Prose = Annotated[str, StringConstraints(max_length=32_768), AfterValidator(_says_something)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelEntry(_Entry):
    platform: Annotated[str, AfterValidator(_allowed_platform)]
    name: Annotated[Line, AfterValidator(_in_one_word)]
    url: Url | None = None
    key_env: Annotated[str, AfterValidator(_holds_a_key)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=131_072)] = 256
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if self.platform == EMBEDDED and (self.url or self.key_env):
            raise PydanticCustomError(
                "endpoint", "the embedded model's URL and key come from the settings; remove url and key_env here"
            )
        if self.platform == OPENAI_COMPATIBLE and not self.url:
            raise PydanticCustomError("endpoint", "say where the model is served: url: http://127.0.0.1:8000/v1")
        if self.platform not in SERVES_ADAPTERS and self.url:
            raise PydanticCustomError(
                "endpoint",
                "this platform has an endpoint of its own, which its key is for; remove url, or write "
                "platform: openai-compatible-model",
            )
        return self

    def spec(self) -> ModelSpec:
        sampling = Sampling(self.temperature, self.top_p, self.max_tokens, self.seed)
        return ModelSpec(self.platform, self.name, self.url, self.key_env, sampling)


class AgentEntry(_Entry):
    name: Annotated[Word, AfterValidator(_has_an_address)]
    role: Line
    system_message: Prose
    model: ModelEntry
    adapter: Alias | None = None
    ballot: Literal["verdict", "likelihood"] = "verdict"
    tools: Annotated[
        list[Annotated[str, AfterValidator(_allowed_tool)]],
        Field(max_length=32),
        AfterValidator(_for_models_that_choose),
    ] = []
    cache: Annotated[str, BeforeValidator(_a_while)] | None = None

    @model_validator(mode="after")
    def _what_the_platform_can_do(self) -> Self:
        able = self.model.platform in SERVES_ADAPTERS
        if self.ballot == "likelihood" and not able:
            raise PydanticCustomError("ballot", "this platform cannot score given answers; write `ballot: verdict`")
        if self.adapter and not able:
            raise PydanticCustomError(
                "adapter", "LoRA adapters are served by embedded and openai-compatible-model only; remove `adapter`"
            )
        return self

    @model_validator(mode="after")
    def _what_may_be_given_again(self) -> Self:
        if self.cache and self.model.temperature > 0 and self.model.seed is None:
            raise PydanticCustomError(
                "cache",
                "an answer drawn by chance, given again, would look like the only one; write a `seed` or "
                "`temperature: 0` below `model`, or remove `cache`",
            )
        return self

    def spec(self) -> AgentSpec:
        return AgentSpec(
            name=self.name,
            role=self.role,
            system_message=self.system_message,
            model=self.model.spec(),
            adapter=self.adapter,
            ballot=self.ballot,
            tools=tuple(self.tools),
            cache=self.cache,
        )


class RosterEntry(_Entry):
    agents: Annotated[list[AgentEntry], Field(min_length=1, max_length=64)]
