"""agents.yaml, read once: what a text says is kept in NATS for the other processes, and for the next time.

Only what was accepted is kept, by all that decides what the text says: itself, the code that reads it, the tools that
there are, and the hosts that are listed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import msgspec

from adapters import agents_entries, agents_yaml, camel_platforms, plain_yaml, written_keys
from adapters.agents_edits import EditableAgentsYaml
from adapters.kv import Bucket
from adapters.locked_values import Cache
from adapters.tools import allowed
from adapters.tools.allowed import AllowedTools
from domain import model_hosts, roster
from domain.model_hosts import ModelHosts
from domain.roster import AgentSpec

BUCKET = Bucket("parsed", seconds=7 * 86400, most_bytes=16 * 2**20)
READERS = (agents_yaml, agents_entries, camel_platforms, written_keys, plain_yaml, allowed, model_hosts, roster)


class KeptAgentsYaml(EditableAgentsYaml):
    """The same as EditableAgentsYaml, but what was parsed before is looked up."""

    def __init__(self, hosts: ModelHosts, tools: AllowedTools, parsed: Cache) -> None:
        super().__init__(hosts, tools)
        self._parsed = parsed

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        question = {
            "text": _digest(text.encode()),
            "code": _code(),
            "tools": self._allowed.tools.sources,
            "hosts": self._allowed.hosts.listed,
        }
        if (found := self._parsed.get(question)) and (known := _agents(found)):
            return known
        agents = super().parse(text)
        self._parsed.put(question, msgspec.json.encode(agents))
        return agents


def _agents(found: bytes) -> tuple[AgentSpec, ...] | None:
    try:
        return msgspec.json.decode(found, type=tuple[AgentSpec, ...])
    except msgspec.MsgspecError:
        return None


@cache
def _code() -> str:
    return _digest(b"".join(Path(str(module.__file__)).read_bytes() for module in READERS))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
