"""For operators: health, metrics, how far the read models are, and who one is."""

from __future__ import annotations

from typing import Literal

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from domain.access import Role
from domain.events import ActorKind
from domain.ports.events import Standing
from domain.ports.roster import FileStanding
from gateway.auth import Who, needs
from gateway.bootstrap import Core
from gateway.errors import Answers
from gateway.health import Check, check, check_all
from gateway.requests import CoreOf
from gateway.shapes import PageOf
from gateway.strict import StrictRoute
from projections.status import Status, status

open_router = APIRouter(tags=["operations"])
router = APIRouter(tags=["operations"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))

PLAIN: Answers = {200: {"content": {"text/plain": {}}}}


class Alive(BaseModel):
    """Nothing more is said to strangers."""

    status: Literal["ok", "unavailable"]


class Relayed(BaseModel):
    """How far NATS was told of the log."""

    position: int
    lag: int = Field(description="Positions that it was not told of yet")


class Health(BaseModel):
    """The parts around the gateway, and how far relay, read models and policies are behind the log. Degraded as long as
    a part does not work, an event is parked, or an edit of agents.yaml by hand waits for somebody."""

    status: Literal["ok", "degraded"]
    checks: list[Check]
    relay: Relayed | None = Field(description="None while Postgres cannot be reached")
    projections: list[Status] = Field(description="Empty while Postgres cannot be reached")
    policies: list[Standing] = Field(description="Those that ever ran; empty while Postgres cannot be reached")
    agents_file: FileStanding | None = Field(description="None where this gateway does not watch it")


class Me(BaseModel):
    """Whom the token stands for."""

    subject: str
    kind: ActorKind
    role: Role


@open_router.get("/health/live")
async def live() -> Alive:
    """The process runs."""
    return Alive(status="ok")


@open_router.get("/health/ready", responses={503: {"model": Alive, "description": "Not ready"}})
async def ready(core: CoreOf, response: Response) -> Alive:
    """It can answer: the database is there, with its tables."""
    postgres = await check("postgres", core.probes["postgres"])
    if postgres.state == "ok":
        return Alive(status="ok")
    response.status_code = 503
    return Alive(status="unavailable")


@router.get("/health", responses={503: {"model": Health, "description": "Some part does not work"}})
async def health(core: CoreOf, request: Request, response: Response) -> Health:
    """Every part, tried just now."""
    checks = await check_all(request.app.state.probes)
    works = {one.name: one.state == "ok" for one in checks}
    relay: Relayed | None = None
    behind: list[Status] = []
    standings: list[Standing] = []
    if works["postgres"]:
        relay = await to_thread.run_sync(_relayed, core)
        behind = await to_thread.run_sync(lambda: status(core.engine, core.feed.head()))
        standings = await to_thread.run_sync(core.policies.standings)
    if not all(works.values()):
        response.status_code = 503
    parked = sum(one.parked for one in behind) + sum(one.parked for one in standings)
    file = core.agents_file.standing
    sound = all(works.values()) and not parked and not (file and file.needs_somebody)
    state: Literal["ok", "degraded"] = "ok" if sound else "degraded"
    return Health(status=state, checks=checks, relay=relay, projections=behind, policies=standings, agents_file=file)


def _relayed(core: Core) -> Relayed:
    position = core.relayed()
    return Relayed(position=position, lag=max(0, core.feed.head() - position))


@router.get("/v1/projections")
def list_projections(core: CoreOf) -> PageOf[Status]:
    """How far each read model is behind the log, and how many events it could not take."""
    head = core.feed.head()
    return PageOf[Status](items=status(core.engine, head), next=None, position=head)


@router.get("/v1/me")
def me(caller: Who) -> Me:
    """Whom the token stands for, and what it may do."""
    return Me(subject=caller.actor.subject, kind=caller.actor.kind, role=caller.role)


@router.get("/metrics", response_class=Response, responses=PLAIN)
def metrics(request: Request) -> Response:
    """For Prometheus, which sends the token as `authorization: {credentials: ...}`."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
