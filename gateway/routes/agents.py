"""/v1/agents: agents.yaml, as text with its comments or as data, and every revision of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from commands.roster import ANY, ReviseRoster
from domain.access import Role
from domain.errors import Invalid, NotFound
from domain.ports import Written
from domain.text import is_storable
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.requests import Commands, Cursor, ExpectedVersion, Limit, Tag, View, found, viewing
from gateway.shapes import AgentChange, PageOf, RosterRevision, page_of
from gateway.strict import StrictRoute
from projections import agent_rosters

router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Rosters = Annotated[View, viewing(agent_rosters.PROJECTOR)]
Accept = Annotated[str, Header(description="`application/yaml` for the text alone")]

MEDIA_TYPE = "application/yaml"
EXAMPLE = """\
agents:
  - name: physicist
    role: Physicist
    system_message: You explain physics in plain words.
    model: {platform: embedded, name: smollm2-135m-instruct}
    adapter: team  # the alias of a LoRA adapter
    ballot: likelihood
"""
TEXT = {"schema": {"type": "string"}, "example": EXAMPLE}
EITHER: Answers = {200: {"description": "The revision, or its text", "content": {MEDIA_TYPE: TEXT}}}


async def _yaml(request: Request) -> str:
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"agents.yaml must be UTF-8; byte {error.start} is not") from error
    if not is_storable(text):
        raise Invalid("agents.yaml holds NUL, which cannot be stored; remove it")
    return text


async def _expected_revision(
    revision: ExpectedVersion, if_match: Annotated[str | None, Header(include_in_schema=False)] = None
) -> int | Literal["*"] | None:
    return ANY if if_match == ANY else revision


@router.get("", response_model=RosterRevision, responses=EITHER | responses(404))
def get_agents(view: Rosters, tag: Tag, accept: Accept = "*/*") -> Response | dict[str, Any]:
    """The current agents.yaml. Its ETag is its revision."""
    return _answer(found(agent_rosters.latest(view.db), "agent roster", "yet"), accept, tag)


@router.put(
    "",
    dependencies=needs(Role.ADMIN),
    responses=responses(412, 428),
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: TEXT}}},
)
async def revise_agents(
    text: Annotated[str, Depends(_yaml)],
    command: Commands,
    tag: Tag,
    revision: Annotated[int | Literal["*"] | None, Depends(_expected_revision)],
    reason: Annotated[str, Query(max_length=2000)] = "",
) -> Written:
    """Replaces agents.yaml, once it is valid. Runs asked for before keep the revision that they began with."""
    written = await command.in_thread(ReviseRoster(text, reason, revision))
    tag.set(written.version)
    return written


@router.get("/revisions", response_model=page_of(RosterRevision))
def list_revisions(view: Rosters, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Every agents.yaml there was, the newest first."""
    return view.page(agent_rosters.revisions(view.db, cursor, limit))


@router.get("/revisions/{revision}", response_model=RosterRevision, responses=EITHER | responses(404))
def get_revision(revision: int, view: Rosters, tag: Tag, accept: Accept = "*/*") -> Response | dict[str, Any]:
    """One revision, as it was."""
    known = agent_rosters.find(view.db, revision) if 0 < revision < 2**31 else None
    return _answer(found(known, "agent roster revision", revision), accept, tag)


@router.get("/{name}/history", response_model=PageOf[AgentChange], responses=responses(404))
def list_changes(name: str, view: Rosters, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Who changed this agent, when, why and how: the revisions that did, the newest first."""
    page = agent_rosters.history(view.db, name, cursor, limit)
    if not page.items and cursor is None:
        raise NotFound("agent", name)
    return view.page(page)


def _answer(revision: dict[str, Any], accept: str, tag: Tag) -> Response | dict[str, Any]:
    etag = tag.check(revision["revision"])
    if "yaml" not in accept:
        return revision
    return Response(revision["text"], media_type=MEDIA_TYPE, headers={"ETag": etag, "Vary": "Accept"})
