"""/v1/agents/{name}: one agent of agents.yaml, as JSON with the names that the file has. A change touches the lines of
that agent alone, and is a revision of the whole file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from commands.roster import PatchAgent, PutAgent, RemoveAgent
from domain.access import Role
from domain.errors import NotFound
from domain.ports.events import Written
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import Commands, Tag, found
from gateway.routes.agents import EditedRevision, Rosters, Why
from gateway.strict import Body, StrictRoute
from projections import agent_rosters

router = APIRouter(
    prefix="/v1/agents/{name}", tags=["agents"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
CHANGED = responses(404, 412, 428)


class AgentModel(Body):
    """The model that an agent runs on, and how it chooses words."""

    platform: str = Field(examples=["embedded", "openai-compatible-model"])
    name: str
    url: str | None = None
    key_env: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None


class Agent(Body):
    """An agent as agents.yaml has it. `name` may be left out, or is the one in the address."""

    name: str | None = None
    role: str
    system_message: str
    model: AgentModel
    adapter: str | None = None
    ballot: str = Field(default="verdict", examples=["likelihood"])
    tools: list[str] = Field(default_factory=list, examples=[["math", "mcp:files/read_file"]])
    cache: str | None = Field(
        default=None, examples=["7d"], description="For how long an answer may be given again to the same question"
    )


class ModelChanges(Body):
    """What shall be otherwise about a model; null takes a setting away."""

    platform: str | None = None
    name: str | None = None
    url: str | None = None
    key_env: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class AgentChanges(Body):
    """What shall be otherwise about an agent (RFC 7396): null takes a setting away, and what is left out stays."""

    role: str | None = None
    system_message: str | None = None
    model: ModelChanges | None = None
    adapter: str | None = None
    ballot: str | None = None
    tools: list[str] | None = None
    cache: str | None = None


@router.get("", responses=responses(404))
def get_agent(name: str, view: Rosters, tag: Tag) -> Agent:
    """One agent as it is now. The ETag is the revision of agents.yaml."""
    roster = found(agent_rosters.latest(view.db), "agent roster", "yet")
    spec = next((spec for spec in roster["agents"] if spec["name"] == name), None)
    if spec is None:
        raise NotFound("agent", name)
    tag.check(roster["revision"])
    model: dict[str, Any] = {**spec["model"]}
    sampling = model.pop("sampling")
    return Agent(**spec | {"model": model | sampling})


@router.put("", dependencies=needs(Role.ADMIN), responses=CHANGED)
async def put_agent(
    name: str, body: Agent, command: Commands, tag: Tag, revision: EditedRevision, reason: Why = ""
) -> Written:
    """Makes the agent exactly so, or adds it at the end. If-Match names the revision of agents.yaml."""
    return _tagged(tag, await command.in_thread(PutAgent(name, body.model_dump(exclude_unset=True), reason, revision)))


@router.patch("", dependencies=needs(Role.ADMIN), responses=CHANGED)
async def patch_agent(
    name: str, body: AgentChanges, command: Commands, tag: Tag, revision: EditedRevision, reason: Why = ""
) -> Written:
    """Changes some of the agent's settings, e.g. its system message. If-Match names the revision of agents.yaml."""
    changes = body.model_dump(exclude_unset=True)
    return _tagged(tag, await command.in_thread(PatchAgent(name, changes, reason, revision)))


@router.delete("", dependencies=needs(Role.ADMIN), responses=CHANGED)
async def remove_agent(name: str, command: Commands, tag: Tag, revision: EditedRevision, reason: Why = "") -> Written:
    """Takes the agent out of agents.yaml; runs that have begun keep it. The last one cannot go."""
    return _tagged(tag, await command.in_thread(RemoveAgent(name, reason, revision)))


def _tagged(tag: Tag, written: Written) -> Written:
    tag.set(written.version)
    return written
