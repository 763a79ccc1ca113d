"""agents.yaml with one agent set, changed or taken out: only the lines of what changes are touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from adapters import yaml_edits
from adapters.agents_entries import AgentEntry
from adapters.agents_yaml import AgentsYaml, mistakes_in
from adapters.plain_yaml import Path
from domain.errors import Invalid, NotFound

Fields = Mapping[str, Any]
"""An agent as agents.yaml writes it: `model` holds the sampling too."""


class EditableAgentsYaml(AgentsYaml):
    """The RosterFormat port with edits. Each raises Invalid, in the words of the file, for what may not stand in it."""

    def put_agent(self, text: str, name: str, fields: Fields) -> str:
        """The text in which that agent is exactly so; it is added at the end where it is not there yet."""
        agents = self.entries(text)
        new = self._entry(name, fields)
        if name not in agents:
            return yaml_edits.append_item(text, ("agents",), _as_written(new))
        return self._changed(text, agents, new)

    def patch_agent(self, text: str, name: str, changes: Fields) -> str:
        """The text in which these fields of the agent are so; null takes one away (RFC 7396). Raises NotFound."""
        agents = self.entries(text)
        if name not in agents:
            raise NotFound("agent", name)
        return self._changed(text, agents, self._entry(name, _merged(_as_written(agents[name]), changes)))

    def remove_agent(self, text: str, name: str) -> str:
        """The text without that agent. Raises NotFound, and Invalid for the last one."""
        names = list(self.entries(text))
        if name not in names:
            raise NotFound("agent", name)
        if len(names) == 1:
            raise Invalid(f"{name} is the last agent, and there must be one; put another one first")
        return yaml_edits.remove(text, ("agents", names.index(name)))

    def _changed(self, text: str, agents: Mapping[str, AgentEntry], new: AgentEntry) -> str:
        place = ("agents", list(agents).index(new.name))
        try:
            edited = text
            for path, value in _differences(agents[new.name], new):
                edited = _with(edited, (*place, *path), value)
        except Invalid:  # a part cannot be changed alone: write all of the agent anew, and leave the others
            edited = yaml_edits.set_value(text, place, _as_written(new))
        return edited

    def _entry(self, name: str, fields: Fields) -> AgentEntry:
        if fields.get("name", name) != name:
            raise Invalid(f"name: this is {name}; an agent's name stays, since the log speaks of it: put a new agent")
        try:
            return AgentEntry.model_validate({"name": name, **fields}, context=self._allowed)
        except ValidationError as error:
            raise Invalid("\n".join(mistakes_in(error))) from error


def _with(text: str, path: Path, value: object) -> str:
    return yaml_edits.remove(text, path) if value is None else yaml_edits.set_value(text, path, value)


def _differences(old: BaseModel, new: BaseModel) -> Iterator[tuple[Path, object]]:
    """The paths of what differs, with the new value; None where it is to go. What is left out means its default."""
    for field in type(new).model_fields:
        was, will_be = getattr(old, field), getattr(new, field)
        if isinstance(was, BaseModel) and isinstance(will_be, BaseModel):
            yield from (((field, *path), value) for path, value in _differences(was, will_be))
        elif was != will_be:
            yield (field,), _as_written(new).get(field)


def _as_written(entry: BaseModel) -> dict[str, Any]:
    return entry.model_dump(exclude_unset=True, exclude_none=True)


def _merged(old: Fields, changes: Fields) -> dict[str, Any]:
    merged = {**old}
    for field, value in changes.items():
        if isinstance(value, Mapping):
            known = old.get(field)
            merged[field] = _merged(known if isinstance(known, Mapping) else {}, value)
        else:
            merged[field] = value
    return {field: value for field, value in merged.items() if value is not None}
