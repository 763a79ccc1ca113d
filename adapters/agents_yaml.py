"""agents.yaml: what may stand in it, how it is read, and how one field is changed without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString, ScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from adapters import plain_yaml
from adapters.plain_yaml import PlainYaml
from domain.errors import Invalid
from domain.roster import AgentSpec, ModelSpec, Sampling
from domain.text import is_storable

EMBEDDED = "embedded"
"""The platform that stands for this Caravan's own model server; its URL and key come from the process's settings."""
OPENAI_COMPATIBLE = "openai-compatible-model"
"""CAMEL's name for any endpoint that speaks OpenAI's protocol."""
SERVES_ADAPTERS = (EMBEDDED, OPENAI_COMPATIBLE)
"""Where an adapter can be asked for under its own name, and a given answer be scored."""

TOOLS: frozenset[str] = frozenset()
"""The tools that an agent may be given. A tool runs code on the worker's machine, so each one is allowed by name."""

_KEY_NAME = re.compile(r"(?!CARAVAN_)[A-Z][A-Z0-9_]{0,99}_API_KEY")

EditableField = Literal["system_message", "adapter"]

_PLAIN_LINES = re.compile(r"[^\s\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]*")
"""What reads the same from a block of lines: no control characters, line breaks of one kind, no indented beginning."""
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_HINTS = {
    "missing": "add it",
    "string_type": "write text, in quotes where YAML would read a number or a date",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "list_type": "write a list, each item after a dash",
    "model_type": "write `name: value` lines, indented below it",
    "model_attributes_type": "write `name: value` lines, indented below it",
}


def _known_platform(platform: str) -> str:
    # Imported late: CAMEL takes a second to import, and whoever only reads the roster of others does not need it.
    from camel.types import ModelPlatformType

    known = {EMBEDDED, *(member.value for member in ModelPlatformType)}
    if platform not in known:
        raise PydanticCustomError(
            "platform", "there is no platform {given}; write one of {known}", _named(given=platform, known=known)
        )
    return platform


def _known_tool(tool: str) -> str:
    known = ", ".join(sorted(TOOLS)) or "none yet: write `tools: []`"
    if tool not in TOOLS:
        raise PydanticCustomError(
            "tool", "{given} is no tool that agents may use; there is {known}", _named(tool, known)
        )
    return tool


def _says_something(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("text", "there is nothing in it; write something")
    if not is_storable(text):
        raise PydanticCustomError("text", "NUL and lone surrogates cannot be stored; remove them")
    return text


def _named(given: str, known: str | set[str]) -> dict[str, Any]:
    return {"given": repr(given), "known": known if isinstance(known, str) else ", ".join(sorted(known))}


def may_hold_key(variable: str) -> bool:
    """Whether an agent may have its endpoint sent what is in that environment variable: whoever edits agents.yaml must
    not get at the process's other secrets."""
    return bool(_KEY_NAME.fullmatch(variable))


def _holds_a_key(variable: str) -> str:
    if not may_hold_key(variable):
        raise PydanticCustomError(
            "key_env",
            "write the name of an environment variable that ends in _API_KEY and does not begin with CARAVAN_, "
            "e.g. REVIEWER_API_KEY; no other variable is sent to an endpoint, and a key itself never stands here",
        )
    return variable


Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(_says_something)]
Url = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=500),
    AfterValidator(_says_something),
]
Prose = Annotated[str, StringConstraints(max_length=32_768), AfterValidator(_says_something)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelEntry(_Entry):
    platform: Annotated[str, AfterValidator(_known_platform)]
    name: Line
    url: Url | None = None
    key_env: Annotated[str, AfterValidator(_holds_a_key)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=False)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 1.0
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
    name: Word
    role: Line
    system_message: Prose
    model: ModelEntry
    adapter: Word | None = None
    ballot: Literal["verdict", "likelihood"] = "verdict"
    tools: Annotated[list[Annotated[str, AfterValidator(_known_tool)]], Field(max_length=32)] = []

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

    def spec(self) -> AgentSpec:
        return AgentSpec(
            name=self.name,
            role=self.role,
            system_message=self.system_message,
            model=self.model.spec(),
            adapter=self.adapter,
            ballot=self.ballot,
            tools=tuple(self.tools),
        )


class RosterEntry(_Entry):
    agents: Annotated[list[AgentEntry], Field(min_length=1, max_length=64)]


class AgentsYaml:
    """The RosterFormat port: agents.yaml."""

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        """The agents, in order. Raises Invalid that lists every mistake with line, column, path and what to write."""
        document = plain_yaml.load(text)
        try:
            roster = RosterEntry.model_validate(document.values)
        except ValidationError as error:
            raise Invalid("\n".join(_mistakes(error, document))) from error
        if repeated := list(_repeated_names(roster, document)):
            raise Invalid("\n".join(repeated))
        return tuple(agent.spec() for agent in roster.agents)


def edit(text: str, agent: str, field: EditableField, value: str | None) -> str:
    """agents.yaml with one field of one agent changed; comments, order and quotes stay. `value` None removes it.

    Raises Invalid when there is no such agent, or when the file would not be valid afterwards.
    """
    names = [spec.name for spec in AgentsYaml().parse(text)]
    if agent not in names:
        raise Invalid(f"there is no agent {agent!r}; there is {', '.join(names)}")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document, indent, offset = load_yaml_guess_indent(text, yaml=yaml)
    yaml.indent(mapping=2, sequence=indent, offset=offset)
    entry = document["agents"][names.index(agent)]
    if value is None:
        entry.pop(field, None)
    else:
        entry[field] = _in_the_style_of(entry.get(field), value)
    edited = StringIO()
    yaml.dump(document, edited)
    AgentsYaml().parse(edited.getvalue())
    return edited.getvalue()


def _in_the_style_of(old: object, value: str) -> str:
    """The new text as a block, or in the quotes that the old one had; with the comment that hangs on the old one."""
    new: str = value
    if not _PLAIN_LINES.fullmatch(value):
        new = DoubleQuotedScalarString(value)
    elif "\n" in value or value.endswith(" "):  # a folded text would swallow the end of its line
        new = LiteralScalarString(value)
    elif isinstance(old, ScalarString):
        new = type(old)(value)
    if comment := getattr(old, "comment", None):
        new = new if isinstance(new, ScalarString) else LiteralScalarString(value)
        new.comment = comment  # type: ignore[union-attr]  # ruamel keeps what follows a block of lines there
    return new


def _mistakes(error: ValidationError, document: PlainYaml) -> Iterator[str]:
    for detail in error.errors():
        path = detail["loc"]
        extra = detail["type"] == "extra_forbidden"
        place = document.place_of_key(path) if extra else document.place_of_value(path)
        yield f"{place} ({_dotted(path)}): {_advice(detail, str(path[-1]) if path else '')}"


def _advice(detail: ErrorDetails, name: str) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        if _SECRET.search(name):
            return (
                "keys and passwords never stand in this file; put it into an environment variable and write "
                "that variable's name: `key_env: MY_API_KEY`"
            )
        return f"there is no setting {name!r} here; remove it, or mend its spelling"
    if name == "url" and kind == "string_pattern_mismatch":
        return "write http:// or https://, a host, and perhaps a path, e.g. http://127.0.0.1:8000/v1 (no key in it)"
    if kind == "string_pattern_mismatch":
        return "write up to 48 of a-z, 0-9 and -, e.g. physicist"
    hint = _HINTS.get(kind)
    return f"{detail['msg']}; {hint}" if hint else detail["msg"]


def _repeated_names(roster: RosterEntry, document: PlainYaml) -> Iterator[str]:
    seen: set[str] = set()
    for index, agent in enumerate(roster.agents):
        if agent.name in seen:
            path = ("agents", index, "name")
            place = document.place_of_value(path)
            yield f"{place} ({_dotted(path)}): there are two agents {agent.name!r}; give this one another name"
        seen.add(agent.name)


def _dotted(path: plain_yaml.Path) -> str:
    return ".".join(map(str, path)) or "the whole file"
