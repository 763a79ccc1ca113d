"""/v1/stream: what happens, as it happens, from any position on."""

from __future__ import annotations

import re
from typing import Annotated, cast
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, WebSocket
from fastapi.requests import HTTPConnection
from sse_starlette import EventSourceResponse

from domain.access import Role
from domain.errors import Invalid
from gateway.auth import Needs, needs
from gateway.bootstrap import Core
from gateway.errors import Answers, responses
from gateway.event_types import event_types
from gateway.frames import Wanted
from gateway.parameters import only_known
from gateway.requests import MAX_POSITION, Position
from gateway.streams import Streams
from gateway.strict import StrictRoute

router = APIRouter(prefix="/v1/stream", tags=["stream"], route_class=StrictRoute)
_POSITION = re.compile(r"[0-9]{1,19}")

EVENTS: Answers = {
    200: {
        "description": "Events of the types at /asyncapi.json; `id` is the position",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


async def _wanted(
    workflow: Annotated[UUID | None, Query(description="Only events of this run")] = None,
    batch: Annotated[UUID | None, Query(description="Only events of this batch and of its runs")] = None,
    types: Annotated[
        str, Query(description="Only these, with commas between, e.g. `workflow,preference.proposed`")
    ] = "",
    agent: Annotated[
        str | None, Query(max_length=200, description="Only what this agent did in the run: its steps and ballots")
    ] = None,
    deltas: Annotated[
        bool, Query(description="What is said in that run as well, while it is said: `token_delta`, without a position")
    ] = False,
) -> Wanted:
    if workflow is None and (deltas or agent is not None):
        raise Invalid("an agent and deltas are followed in one run: name it with workflow=RUN")
    return Wanted(event_types(filter(None, types.split(","))), workflow, agent, deltas, batch)


async def _start(
    connection: HTTPConnection,
    after: Annotated[
        Position | None, Query(description="Everything after this position, then live; without it: live only")
    ] = None,
    last_event_id: Annotated[str | None, Header(description="As a browser sends it when it comes back")] = None,
) -> int | None:
    if last_event_id is not None:
        if not _POSITION.fullmatch(last_event_id):
            raise Invalid("Last-Event-ID must be a position, a whole number")
        after = int(last_event_id)
    core: Core = connection.app.state.core
    if after is not None and not 0 <= after <= min(MAX_POSITION, await to_thread.run_sync(core.feed.head)):
        raise Invalid(f"position {after} is not in the log; was this Caravan reset? Begin again with after=0")
    return after


Filter = Annotated[Wanted, Depends(_wanted)]
Start = Annotated[int | None, Depends(_start)]


def streams_of(connection: HTTPConnection) -> Streams:
    """The streams of the app that serves it."""
    return cast(Streams, connection.app.state.streams)


@router.get("", response_class=EventSourceResponse, dependencies=needs(Role.VIEWER), responses=EVENTS | responses(422))
async def follow_as_sse(request: Request, wanted: Filter, start: Start) -> EventSourceResponse:
    """Server-sent events. A client that comes back with Last-Event-ID, as browsers do, misses and repeats nothing."""
    return streams_of(request).events(wanted, start, request.state.token)


@router.websocket("", dependencies=[Depends(only_known), Depends(Needs(Role.VIEWER))])
async def follow_as_websocket(socket: WebSocket, wanted: Filter, start: Start) -> None:
    """One CloudEvent a text frame. A browser offers the subprotocols `caravan.v1` and `bearer.<token>`."""
    await streams_of(socket).websocket(socket, wanted, start)
