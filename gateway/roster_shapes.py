"""What reads of agents.yaml answer."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from domain.events import ActorKind
from domain.roster import AgentSpec
from gateway.shapes import model_of
from projections import agent_rosters


class AgentChange(BaseModel):
    """A revision of agents.yaml that changed an agent; `before` or `after` is null where it was not in it."""

    revision: int
    author: str
    author_kind: ActorKind
    reason: str
    recorded_at: datetime
    position: int
    changed: list[str] = Field(description="The fields that differ", examples=[["system_message", "model"]])
    prompt_diff: str = Field(description="What became of the system message, as a unified diff; empty where nothing")
    before: AgentSpec | None
    after: AgentSpec | None


RosterRevision = model_of("RosterRevision", agent_rosters.TABLE, {"agents": list[AgentSpec]})


class AgentDifference(BaseModel):
    """What differs of one agent between two revisions; `before` or `after` is null where it was not there."""

    name: str
    changed: list[str] = Field(description="The fields that differ", examples=[["system_message", "model"]])
    prompt_diff: str = Field(description="What became of the system message, as a unified diff; empty where nothing")
    before: AgentSpec | None
    after: AgentSpec | None


class RosterDifference(BaseModel):
    """What differs from revision `against` to `revision`."""

    against: int = Field(description="0 stands for before the first one")
    revision: int
    text_diff: str = Field(description="Of the files, as a unified diff; empty where they are the same")
    agents: list[AgentDifference] = Field(description="Those that differ, in the order of the newer file")
