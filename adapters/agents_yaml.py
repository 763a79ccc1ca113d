"""agents.yaml, as it is read, and what is said of the mistakes in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from adapters import plain_yaml
from adapters.agents_entries import AgentEntry, Allowed, RosterEntry
from adapters.plain_yaml import PlainYaml, place_of
from adapters.tools.allowed import AllowedTools
from adapters.written_keys import KEYS_ELSEWHERE, key_in, sounds_secret
from domain.errors import Invalid
from domain.model_hosts import ModelHosts
from domain.roster import AgentSpec, ModelSpec

_HINTS = {
    "missing": "add it",
    "string_type": "write text, in quotes where YAML would read a number or a date",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "bool_type": "write true or false",
    "list_type": "write a list, each item after a dash",
    "model_type": "write `name: value` lines, indented below it",
    "model_attributes_type": "write `name: value` lines, indented below it",
}


class AgentsYaml:
    """The RosterFormat port: agents.yaml. `hosts`: where models may be; `tools`: those that agents may have."""

    def __init__(self, hosts: ModelHosts | None = None, tools: AllowedTools | None = None) -> None:
        self._allowed = Allowed(hosts or ModelHosts(), tools or AllowedTools())

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        """The agents, in order. Raises Invalid that lists every mistake with line, column, path and what to write."""
        return tuple(agent.spec() for agent in self.entries(text).values())

    def changed(self, agent: AgentSpec, changes: Mapping[str, Any]) -> AgentSpec:
        """The agent with these fields in place of its own. Raises Invalid with the path of each mistake."""
        fields = asdict(agent) | {"model": _model_fields(agent.model), "tools": list(agent.tools)}
        try:
            return AgentEntry.model_validate({**fields, **changes}, context=self._allowed).spec()
        except ValidationError as error:
            raise Invalid("\n".join(f"{agent.name}: {mistake}" for mistake in mistakes_in(error))) from error

    def entries(self, text: str) -> dict[str, AgentEntry]:
        """The same as it is written, by name."""
        if key := key_in(text):
            raise Invalid(f"{place_of(text, key.start())}: this looks like a key; {KEYS_ELSEWHERE}")
        document = plain_yaml.load(text)
        try:
            roster = RosterEntry.model_validate(document.values, context=self._allowed)
        except ValidationError as error:
            raise Invalid("\n".join(_mistakes(error, document))) from error
        if repeated := list(_repeated_names(roster, document)):
            raise Invalid("\n".join(repeated))
        return {agent.name: agent for agent in roster.agents}


def mistakes_in(error: ValidationError) -> Iterator[str]:
    """Each with the path of the setting in its agent."""
    for detail in error.errors():
        path = detail["loc"]
        yield f"{'.'.join(map(str, path)) or 'the agent'}: {advice_on(detail, str(path[-1]) if path else 'agent')}"


def _model_fields(model: ModelSpec) -> dict[str, Any]:
    fields = asdict(model)
    sampling: dict[str, Any] = fields.pop("sampling")
    return fields | sampling


def _mistakes(error: ValidationError, document: PlainYaml) -> Iterator[str]:
    for detail in error.errors():
        path = detail["loc"]
        extra = detail["type"] == "extra_forbidden"
        place = document.place_of_key(path) if extra else document.place_of_value(path)
        yield f"{place} ({_dotted(path)}): {advice_on(detail, str(path[-1]) if path else '')}"


def advice_on(detail: ErrorDetails, name: str) -> str:
    """What is wrong with the setting of that name, and what to write instead."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        if sounds_secret(name):
            return KEYS_ELSEWHERE
        return f"there is no setting {name!r} here; remove it, or mend its spelling"
    if name == "url" and kind == "string_pattern_mismatch":
        return "write http:// or https://, a host, and perhaps a path, e.g. http://127.0.0.1:8000/v1 (no key in it)"
    if kind == "string_pattern_mismatch":
        return "write up to 48 of a-z, 0-9 and -, e.g. physicist"
    if not name:
        return "write `agents:`, and below it an item for each agent; `caravan agents show` prints one to begin with"
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
