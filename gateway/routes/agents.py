"""/v1/agents: agents.yaml, as text with its comments or as data, and every revision of it. Single agents are in
gateway.routes.single_agents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from commands.roster import ANY, ReviseRoster
from domain.access import Role
from domain.errors import NotFound
from domain.ports.events import Written
from domain.text import from_utf8
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.requests import (
    NO_REASON,
    Commands,
    Cursor,
    ExpectedVersion,
    Limit,
    Reason,
    Tag,
    View,
    found,
    viewing,
)
from gateway.roster_shapes import AgentChange, RosterDifference, RosterRevision
from gateway.shapes import PageOf, page_of
from gateway.strict import StrictRoute
from projections import agent_rosters
from projections.projector import Row

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
DIFF_TYPE = "text/x-diff"
DIFFERENCE: Answers = {
    200: {
        "description": "The differences, or the unified diff alone",
        "content": {DIFF_TYPE: {"schema": {"type": "string"}}},
    }
}
TEXT = {"schema": {"type": "string"}, "example": EXAMPLE}
EITHER: Answers = {200: {"description": "The revision, or its text", "content": {MEDIA_TYPE: TEXT}}}


async def _yaml(request: Request) -> str:
    return from_utf8(await request.body())


async def _expected_revision(
    revision: ExpectedVersion, if_match: Annotated[str | None, Header(include_in_schema=False)] = None
) -> int | Literal["*"] | None:
    return ANY if if_match == ANY else revision


EditedRevision = Annotated[int | Literal["*"] | None, Depends(_expected_revision)]
Why = Annotated[str, Query(max_length=2000, description="Why; it stays in the history")]


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
    revision: EditedRevision,
    reason: Why = "",
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
    return _answer(_find(view, revision), accept, tag)


@router.get("/revisions/{revision}/diff", response_model=RosterDifference, responses=DIFFERENCE | responses(404))
def compare_revisions(
    revision: int,
    view: Rosters,
    against: Annotated[int | None, Query(ge=0, description="Another revision; the one before by default")] = None,
    accept: Annotated[str, Header(description="`text/x-diff` for the unified diff alone")] = "*/*",
) -> Response | dict[str, Any]:
    """What a revision says otherwise than another one: line by line, and agent by agent."""
    after, other = _find(view, revision), revision - 1 if against is None else against
    difference = agent_rosters.difference(_find(view, other) if other else None, after)
    if DIFF_TYPE not in accept:
        return difference
    return Response(difference["text_diff"], media_type=DIFF_TYPE, headers={"Vary": "Accept"})


def _old_text(revision: int, view: Rosters) -> str:
    text: str = _find(view, revision)["text"]
    return text


@router.post("/revisions/{revision}/restore", dependencies=needs(Role.ADMIN), responses=responses(404, 412, 428))
async def restore_revision(
    revision: int,
    text: Annotated[str, Depends(_old_text)],
    command: Commands,
    tag: Tag,
    edited: EditedRevision,
    body: Reason = NO_REASON,
) -> Written:
    """Puts the text of an old revision to use again, as a new one, if it is still valid. If-Match names the current
    one."""
    reason = f"restores revision {revision}" + (f": {body.reason}" if body.reason else "")
    written = await command.in_thread(ReviseRoster(text, reason, edited))
    tag.set(written.version)
    return written


@router.get("/{name}/history", response_model=PageOf[AgentChange], responses=responses(404))
def list_changes(name: str, view: Rosters, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Who changed this agent, when, why and how: the revisions that did, the newest first."""
    page = agent_rosters.history(view.db, name, cursor, limit)
    if not page.items and cursor is None:
        raise NotFound("agent", name)
    return view.page(page)


def _find(view: View, revision: int) -> Row:
    known = agent_rosters.find(view.db, revision) if 0 < revision < 2**31 else None
    return found(known, "agent roster revision", revision)


def _answer(revision: dict[str, Any], accept: str, tag: Tag) -> Response | dict[str, Any]:
    etag = tag.check(revision["revision"])
    if "yaml" not in accept:
        return revision
    return Response(revision["text"], media_type=MEDIA_TYPE, headers={"ETag": etag, "Vary": "Accept"})
