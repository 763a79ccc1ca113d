"""/v1/logs: the interaction log, one entry a model call."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from domain.access import Role
from gateway.auth import needs
from gateway.requests import Cursor, Limit, Position, View, viewing
from gateway.run_shapes import LogEntry
from gateway.shapes import page_of
from gateway.strict import StrictRoute
from projections import interaction_log

router = APIRouter(prefix="/v1/logs", tags=["logs"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Log = Annotated[View, viewing(interaction_log.PROJECTOR)]


@router.get("", response_model=page_of(LogEntry))
def search_logs(
    view: Log,
    workflow: UUID | None = None,
    agent: str | None = None,
    phase: Annotated[str | None, Query(description="What the call was for: answer, score, verdict")] = None,
    tool: Annotated[str | None, Query(description="Only calls that used this tool")] = None,
    model: str | None = None,
    adapter: str | None = None,
    text: Annotated[
        str | None, Query(max_length=500, description="Found in messages or output, whatever its case")
    ] = None,
    since: AwareDatetime | None = None,
    until: Annotated[AwareDatetime | None, Query(description="Excluded itself")] = None,
    min_tokens: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="In and out together")] = None,
    as_of: Annotated[Position | None, Query(description="Only what was recorded up to this position")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Model calls, the newest first."""
    wanted = interaction_log.Filter(
        run_id=workflow,
        agent=agent,
        phase=phase,
        tool=tool,
        model=model,
        adapter=adapter,
        text=text,
        since=since,
        until=until,
        min_tokens=min_tokens,
        as_of=as_of,
    )
    return view.page(interaction_log.calls(view.db, wanted, cursor, limit))
