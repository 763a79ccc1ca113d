"""/v1/events: everything that happened, as it is stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from domain.access import Role
from domain.errors import Invalid
from gateway.auth import needs
from gateway.event_types import event_types
from gateway.requests import CoreOf, Cursor, Limit, Position
from gateway.shapes import PageOf
from gateway.strict import StrictRoute

router = APIRouter(prefix="/v1/events", tags=["audit"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))


@router.get("", response_model=PageOf[dict[str, Any]])
def list_events(
    core: CoreOf,
    type: Annotated[
        list[str],
        Query(description="A type, e.g. `workflow.requested`, or all of an aggregate: `workflow`; repeatable"),
    ] = [],  # noqa: B006 - FastAPI copies it
    aggregate: UUID | None = None,
    actor: Annotated[str | None, Query(description="The subject: a token's name")] = None,
    since: Annotated[Position, Query(alias="from", description="Only what comes after this position")] = 0,
    until: Annotated[Position | None, Query(alias="to", description="Up to this position")] = None,
    order: Literal["oldest", "newest"] = "oldest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Events as CloudEvents, in the one total order. Their data is described at /asyncapi.json."""
    head = core.feed.head()
    newest_first = order == "newest"
    if cursor is not None and newest_first:
        until = _position(cursor) - 1
    elif cursor is not None:
        since = _position(cursor)
    events = core.feed.page(since, until, event_types(type), aggregate, actor, limit + 1, newest_first)
    items = events[:limit]
    more = len(events) > limit
    return {"items": items, "next": str(items[-1]["position"]) if more else None, "position": head}


def _position(cursor: str) -> int:
    if not cursor.isdecimal() or len(cursor) > 18:
        raise Invalid("the cursor is none of ours; leave it out to start with the first page")
    return int(cursor)
