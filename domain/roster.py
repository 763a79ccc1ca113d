"""The roster: which agents there are, what they are told, and which model and adapter each one runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid5

from eventsourcing.domain import (
    AggregateEvent,
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    TAggregate,
)

from domain.errors import VersionConflict

ROSTER_ID = uuid5(UUID("2a9bb6ee-8f0b-5f0c-8f3f-5a6f2f4f9d10"), "roster/default")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,7})([smhd])")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model chooses its words. `seed` None: the endpoint's own."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and where it is served. `key_env` names the environment variable that holds the key; a key itself never
    enters a configuration, an event or a log."""

    platform: str
    name: str
    url: str | None = None
    key_env: str | None = None
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent. `adapter` is an alias, resolved to the promoted revision when a run starts; `ballot` is how the agent
    judges others: `verdict` or `likelihood`. `cache` says for how long an answer may be given again to the same
    question, e.g. `7d` (None: every question is asked)."""

    name: str
    role: str
    system_message: str
    model: ModelSpec
    adapter: str | None = None
    ballot: str = "verdict"
    tools: tuple[str, ...] = ()
    cache: str | None = None

    @property
    def cache_seconds(self) -> float | None:
        """The same as `cache`, as a number."""
        return None if self.cache is None else seconds_in(self.cache)


def seconds_in(duration: str) -> float:
    """Of e.g. `90s`, `30m`, `12h` or `7d`. Raises ValueError for anything else, and for what is no time at all."""
    written = _DURATION.fullmatch(duration)
    if written is None or not int(written[1]):
        raise ValueError(f"{duration!r} is no duration such as 12h or 7d")
    return float(written[1]) * _SECONDS[written[2]]


class AgentRoster(BaseAggregate[UUID]):
    """The project's agents.yaml through time. Revision n is the aggregate's version n."""

    TOPIC = "agent_roster"

    class Event(AggregateEvent):
        pass

    class Revised(Event, CanInitAggregate[UUID]):
        """`text` is the whole YAML as written, comments and all; `agents` is what it says."""

        TOPIC = "agent_roster.revised"
        class_version = 2
        originator_topic: str
        text: str
        sha256: str
        agents: tuple[AgentSpec, ...]
        reason: str

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """No agent's answers were given again."""
            return data | {"agents": [{"cache": None, **agent} for agent in data["agents"]]}

        def mutate(self, aggregate: TAggregate | None) -> TAggregate | None:
            first = aggregate is None
            return CanInitAggregate.mutate(self, None) if first else CanMutateAggregate.mutate(self, aggregate)

        def apply(self, aggregate: AgentRoster) -> None:
            aggregate.agents = self.agents
            aggregate.text = self.text
            aggregate.sha256 = self.sha256

    def __init__(self, agents: tuple[AgentSpec, ...], text: str, sha256: str) -> None:
        self.agents = agents
        self.text = text
        self.sha256 = sha256

    @classmethod
    def begin(cls, text: str, sha256: str, agents: tuple[AgentSpec, ...], reason: str, at: datetime) -> Self:
        """The first revision."""
        return cls._create(
            cls.Revised, id=ROSTER_ID, text=text, sha256=sha256, agents=agents, reason=reason, timestamp=at
        )

    def revise(self, text: str, sha256: str, agents: tuple[AgentSpec, ...], reason: str, at: datetime) -> None:
        """The next revision; nothing where the text is the same, byte for byte."""
        if sha256 != self.sha256:
            self.trigger_event(
                self.Revised,
                originator_topic=self.TOPIC,
                text=text,
                sha256=sha256,
                agents=agents,
                reason=reason,
                timestamp=at,
            )

    def must_be_at(self, revision: int | None) -> None:
        """Raises VersionConflict when the caller wrote against another revision."""
        if revision is not None and revision != self.version:
            raise VersionConflict(revision, self.version)
