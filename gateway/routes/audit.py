"""/v1/events: everything that happened, and what led to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query
from pydantic import AwareDatetime, BaseModel, Field

from domain.access import Role
from domain.errors import Invalid, NotFound
from domain.events import ActorKind
from gateway.auth import needs
from gateway.bootstrap import Core
from gateway.errors import NotCaughtUp, NotInTheAudit, responses
from gateway.event_types import event_types
from gateway.requests import (
    MAX_POSITION,
    After,
    CoreOf,
    Cursor,
    Limit,
    Position,
    View,
    caught_up,
    position_of,
    view_of,
    viewing,
)
from gateway.shapes import PageOf
from gateway.strict import StrictRoute
from projections import audit, causation
from projections.projector import Row

router = APIRouter(prefix="/v1/events", tags=["audit"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))

CloudEvent = dict[str, Any]
Audit = Annotated[View, viewing(audit.PROJECTOR)]


async def _which(event: Annotated[str, Path(description="Its position, or its id")]) -> int | UUID:
    try:
        return int(event) if event.isdecimal() and len(event) <= 18 else UUID(event)
    except ValueError as error:
        raise Invalid("an event is named by its position, e.g. 17, or by its id, which is a UUID") from error


WhichEvent = Annotated[int | UUID, Depends(_which)]


class Step(BaseModel):
    """An event on a walk. `depth` counts the steps from where it began."""

    depth: int
    event: CloudEvent


class Beginning(BaseModel):
    """The command with which it began, and on whose behalf."""

    command_id: UUID | None
    actor: str
    actor_kind: ActorKind
    time: datetime
    correlation_id: UUID
    traceparent: str | None


class Causes(BaseModel):
    """What led to an event, which is the first of `items` itself."""

    items: list[Step]
    began_with: Beginning | None = Field(
        description="null: it lies further back than a walk goes, or an event on the way could not be taken in"
    )
    position: int = Field(description="The log's events up to this position are known")


class Effects(PageOf[Step]):
    """What an event led to."""

    cut: bool = Field(description="There are so many that only the nearest are listed; all share the correlation")


async def _filter(
    type: Annotated[
        list[str],
        Query(description="A type, e.g. `workflow.requested`, or all of an aggregate: `workflow`; repeatable"),
    ] = [],  # noqa: B006 - FastAPI copies it
    aggregate: UUID | None = None,
    agent: Annotated[str | None, Query(description="Whose steps and ballots")] = None,
    tool: Annotated[str | None, Query(description="Only steps that used this tool")] = None,
    model: str | None = None,
    adapter: Annotated[str | None, Query(description="E.g. `team@1`: what used it, and what became of it")] = None,
    revision: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="The revision of agents.yaml that a run was pinned to")
    ] = None,
    actor: Annotated[str | None, Query(description="The subject: a token's name, an agent, a process")] = None,
    kind: Annotated[ActorKind | None, Query(description="Of the actor")] = None,
    run: Annotated[UUID | None, Query(description="A workflow run, and the pairs proposed from it")] = None,
    correlation: Annotated[UUID | None, Query(description="All that followed from one request")] = None,
    since: AwareDatetime | None = None,
    until: Annotated[AwareDatetime | None, Query(description="Excluded itself")] = None,
) -> audit.Filter:
    return audit.Filter(
        event_types(type), aggregate, agent, tool, model, adapter, revision, actor, kind, run, correlation, since, until
    )


def _log_knows(wanted: audit.Filter) -> bool:
    """Whether the log itself finds these, which is always complete; else the read models do, as far as they are."""
    return replace(wanted, aggregate=None) == audit.EVERYTHING


async def _answerable(
    core: CoreOf, wanted: Annotated[audit.Filter, Depends(_filter)], after: After = None
) -> audit.Filter:
    if not _log_knows(wanted):
        await caught_up(core, _names(wanted), after)
    elif after and after > (head := await to_thread.run_sync(core.store.head)):
        raise NotCaughtUp(f"the log ends at {head}: nothing is at position {after} yet, or a backup was restored")
    return wanted


def _names(wanted: audit.Filter) -> list[str]:
    return [projector.name for projector in audit.needed_for(wanted)]


@router.get("", response_model=PageOf[CloudEvent])
def list_events(
    core: CoreOf,
    wanted: Annotated[audit.Filter, Depends(_answerable)],
    after: Annotated[Position, Query(alias="from", description="Only what comes after this position")] = 0,
    upto: Annotated[Position | None, Query(alias="to", description="Up to this position")] = None,
    order: Literal["oldest", "newest"] = "oldest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Events as CloudEvents, in the one total order. Their data is described at /asyncapi.json.

    Agent, tools, model, adapter and the revisions of the roster and of the agent's prompt are told beside them.
    """
    newest_first = order == "newest"
    if cursor is not None and newest_first:
        upto = min(position_of(cursor) - 1, MAX_POSITION if upto is None else upto)
    elif cursor is not None:
        after = max(position_of(cursor), after)
    with view_of(core, _names(wanted)) as view:
        if _log_knows(wanted):
            known = core.feed.head(view.db)
            found = core.feed.page(after, upto, (), wanted.aggregate, limit + 1, newest_first, view.db)
        else:
            known = view.position
            upto = known if upto is None else min(upto, known)
            found = core.feed.at(audit.positions(view.db, wanted, after, upto, limit + 1, newest_first), view.db)
        items = list(_described(view, found[:limit]))
    more = len(found) > limit
    return {"items": items, "next": str(items[-1]["position"]) if more else None, "position": known}


@router.get("/{event}", response_model=CloudEvent, responses=responses(404))
def get_event(event: WhichEvent, core: CoreOf, view: Audit) -> CloudEvent:
    """One event as a CloudEvent, described as in a list."""
    (described,) = _described(view, [_found(event, core, view)])
    return described


@router.get("/{event}/causes", responses=responses(404, 409))
def list_causes(event: WhichEvent, core: CoreOf, view: Audit) -> Causes:
    """The event, what led to it, and so on back to the command with which it began."""
    walked = causation.causes(view.db, _located(event, core, view))
    steps = _steps(core, view, walked)
    return Causes(items=steps, began_with=_beginning(steps), position=view.position)


@router.get("/{event}/effects", responses=responses(404, 409))
def list_effects(event: WhichEvent, core: CoreOf, view: Audit, cursor: Cursor = None, limit: Limit = 50) -> Effects:
    """All that the event led to, directly or by way of others, in the order of the log."""
    after = 0 if cursor is None else position_of(cursor)
    walked = causation.effects(view.db, _located(event, core, view), after, limit)
    following = str(walked.items[-1]["position"]) if walked.more else None
    return Effects(items=_steps(core, view, walked.items), next=following, position=view.position, cut=walked.cut)


def _found(event: int | UUID, core: Core, view: View) -> CloudEvent:
    """Raises NotFound, and NotCaughtUp for an id that may be of an event that is newer than the audit."""
    position = event if isinstance(event, int) else audit.position_of(view.db, event)
    if position is None and view.position < (head := core.feed.head(view.db)):
        raise _behind(view, head)
    found = core.feed.at([] if position is None else [position], view.db)
    if not found:
        raise NotFound("event", str(event))
    return found[0]


def _located(event: int | UUID, core: Core, view: View) -> int:
    """From where to walk. Raises NotFound, NotCaughtUp for an event that is newer than the audit, and NotInTheAudit."""
    position: int = _found(event, core, view)["position"]
    if position > view.position:
        raise _behind(view, position)
    if not audit.knows(view.db, position):
        raise NotInTheAudit(position)
    return position


def _behind(view: View, position: int) -> NotCaughtUp:
    return NotCaughtUp(f"the audit knows the log up to {view.position}; ask again with ?after={position}")


def _described(view: View, events: Sequence[CloudEvent]) -> Iterable[CloudEvent]:
    """With what the read models say of each as CloudEvents' extensions; what does not apply is left out."""
    known = audit.circumstances(view.db, [event["position"] for event in events])
    for event in events:
        said = known.get(event["position"], {})
        tools = said.get("tools") and ",".join(said["tools"])
        extensions = {name.replace("_", ""): value for name, value in (said | {"tools": tools}).items()}
        yield event | {name: value for name, value in extensions.items() if value is not None}


def _steps(core: Core, view: View, walked: Sequence[Row]) -> list[Step]:
    depths = {row["position"]: row["depth"] for row in walked}
    events = _described(view, core.feed.at(list(depths), view.db))
    return [Step(depth=depths[event["position"]], event=event) for event in events]


def _beginning(steps: Sequence[Step]) -> Beginning | None:
    root = steps[-1].event
    if "causationid" in root:
        return None
    return Beginning(
        command_id=root.get("commandid"),
        actor=root["actor"],
        actor_kind=root["actorkind"],
        time=root["time"],
        correlation_id=root["correlationid"],
        traceparent=root.get("traceparent"),
    )
