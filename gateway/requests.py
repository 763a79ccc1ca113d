"""What routes are made of: the core, commands in the caller's name, and views of the read models."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, cast
from uuid import UUID

from anyio import to_thread
from fastapi import Depends, Header, Query, Request, Response, params
from pydantic import Field
from sqlalchemy import Connection
from uuid_utils.compat import uuid4

from domain.errors import Invalid, NotFound
from domain.events import Envelope
from domain.ports.events import Written
from gateway.bootstrap import Core
from gateway.context import envelope_of, repeatable
from gateway.errors import NotCaughtUp
from gateway.in_flight import CommandsInFlight
from gateway.strict import Body
from projections import checkpoints
from projections.derived import Derived
from projections.projector import Projector, Row
from projections.status import wait_for

CATCH_UP_SECONDS = 5.0
POLL_SECONDS = 0.05
OPEN_VIEWS = 20
"""Fewer than the engine has connections. One is held from step to step of a request, each of which needs a thread: who
waits for a view must not wait in a thread that somebody with a view needs to go on."""
MAX_POSITION = 2**63 - 1
_ENTITY_TAG = re.compile(r'"(\d{1,18})"')

Position = Annotated[int, Query(ge=0, le=MAX_POSITION)]
After = Annotated[
    Position | None, Query(description="Read your writes: answer only with what was known at this position")
]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many items a page holds at most")]


class Reason(Body):
    """Why; it stays in the history."""

    reason: str = Field(default="", max_length=2000)


NO_REASON = Reason()


async def core_of(request: Request) -> Core:
    """The parts that this app was created on."""
    return cast(Core, request.app.state.core)


CoreOf = Annotated[Core, Depends(core_of)]


class Door:
    """Runs a request's commands under its envelope; tells the position in a header. `id` is the request's own, and the
    same again for a repeat under the same Idempotency-Key. Raises InFlight for a repeat that comes too early."""

    def __init__(self, core: Core, in_flight: CommandsInFlight, response: Response, envelope: Envelope) -> None:
        self._core = core
        self._in_flight = in_flight
        self._response = response
        self._envelope = envelope

    @cached_property
    def id(self) -> UUID:
        return self._envelope.command_id or uuid4()

    async def __call__(self, command: object, location: str | None = None) -> Written:
        """`location`: where what was made can be read, with `{id}` in place of its id."""
        with self._in_flight.alone(self._envelope):
            written = await self._core.execute(command, self._envelope)
        self.tell(written.position, location and location.format(id=written.id))
        return written

    async def in_thread(self, command: object, location: str | None = None) -> Written:
        """The same for a command that takes long to decide."""
        with self._in_flight.alone(self._envelope):
            written = await to_thread.run_sync(self._core.bus.execute, command, self._envelope)
        self.tell(written.position, location and location.format(id=written.id))
        return written

    def tell(self, position: int, location: str | None = None) -> None:
        """Sets the headers that say where the log stands now, and where the result will be."""
        self._response.headers["X-Caravan-Position"] = str(position)
        if location:
            self._response.headers["Location"] = location


async def _door(
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes a repeat harmless: the same key has one effect and one answer. A repeat that comes "
            "before the answer is told 409 (in-flight) and shall come again"
        ),
    ] = None,
) -> Door:
    envelope = envelope_of(request.state.caller, request.state.context)
    if idempotency_key is not None:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        envelope = repeatable(envelope, idempotency_key, request.method, target, await request.body())
    app = request.app.state
    return Door(app.core, app.in_flight, response, envelope)


Commands = Annotated[Door, Depends(_door)]


async def _if_match(
    if_match: Annotated[
        str | None, Header(description='The ETag that the change was made from, e.g. `"3"`; 412 if it is not current')
    ] = None,
) -> int | None:
    if if_match is None or if_match == "*":
        return None
    tag = _ENTITY_TAG.fullmatch(if_match)
    if not tag:
        raise Invalid(f'If-Match must be an ETag as it was received, e.g. "3"; not {if_match}')
    return int(tag[1])


ExpectedVersion = Annotated[int | None, Depends(_if_match)]


class NotModified(Exception):
    """The caller has this version already. HTTP 304."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class EntityTag:
    """Names the version of what is answered."""

    def __init__(self, response: Response, known: str | None) -> None:
        self._response = response
        self._known = [tag.strip().removeprefix("W/") for tag in (known or "").split(",")]

    def set(self, version: int | str) -> str:
        """Without asking whether the caller has it already. Returns the header's value."""
        tag = f'"{version}"'
        self._response.headers["ETag"] = tag
        return tag

    def check(self, version: int | str) -> str:
        """Raises NotModified when the caller has this version already. The version must say all of the answer."""
        tag = self.set(version)
        if tag in self._known:
            raise NotModified(tag)
        return tag

    def named(self, row: Row) -> Row:
        """The row itself, named by its version as `check` does. A stale one stays unnamed: it is not what that version
        is."""
        if not row["stale"]:
            self.check(row["version"])
        return row


async def _entity_tag(
    response: Response, if_none_match: Annotated[str | None, Header(description="304 if this is current")] = None
) -> EntityTag:
    return EntityTag(response, if_none_match)


Tag = Annotated[EntityTag, Depends(_entity_tag)]


@dataclass(frozen=True, slots=True)
class View:
    """Read models at one moment. `position`: all of them have seen everything up to there."""

    db: Connection
    position: int

    def page(self, page: Any) -> dict[str, Any]:
        """A page as it is answered."""
        return {"items": page.items, "next": page.next_cursor, "position": self.position}

    def all(self, items: list[Row]) -> dict[str, Any]:
        """Everything there is, in the form of a page."""
        return {"items": items, "next": None, "position": self.position}


async def caught_up(core: Core, names: Sequence[str], after: int | None) -> None:
    """Waits for these read models to come to `after`. Raises NotCaughtUp when that takes too long."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while after and not await to_thread.run_sync(wait_for, core.engine, names, after, 0.0):
        if time.monotonic() > deadline:
            raise NotCaughtUp(f"{', '.join(names)} did not reach position {after} in time; try again in a moment")
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def view_of(core: Core, names: Sequence[str]) -> Iterator[View]:
    """A View of these read models, as they are now."""
    with core.engine.connect().execution_options(isolation_level="REPEATABLE READ") as db:
        yield View(db, min(checkpoints.position(db, name) for name in names))


def viewing(*read_models: Projector | Derived) -> params.Depends:
    """The dependency that opens a View of these read models, once they have come to `?after=` and fewer than OPEN_VIEWS
    are open. It is closed before the answer is sent: a slow reader must not hold a connection."""
    names = [each.name for each in read_models]

    async def turn(request: Request, core: CoreOf, after: After = None) -> AsyncIterator[None]:
        await caught_up(core, names, after)
        async with request.app.state.views:
            yield

    def view(core: CoreOf, _turn: None = Depends(turn, scope="function")) -> Iterator[View]:
        with view_of(core, names) as view:
            yield view

    return cast(params.Depends, Depends(view, scope="function"))


OpenView = Callable[[], AbstractContextManager[View]]


def reaching(*read_models: Projector | Derived) -> params.Depends:
    """The dependency that waits until these read models have come to `?after=`, and gives what opens a View of them:
    for who does more than read, and must not hold a connection meanwhile. What is opened is left by the same step."""
    names = [each.name for each in read_models]

    async def opener(core: CoreOf, after: After = None) -> OpenView:
        await caught_up(core, names, after)
        return partial(view_of, core, names)

    return cast(params.Depends, Depends(opener))


def position_of(cursor: str) -> int:
    """The position in the `cursor` of a list in the log's order. Raises Invalid for one that is none of ours."""
    if not cursor.isdecimal() or len(cursor) > 18:
        raise Invalid("the cursor is none of ours; leave it out to start with the first page")
    return int(cursor)


def found(row: Row | None, kind: str, id: UUID | str | int) -> Row:
    """The row itself. Raises NotFound where there is none."""
    if row is None:
        raise NotFound(kind, str(id))
    return row


async def not_modified(_request: Request, known: NotModified) -> Response:
    """An empty answer, with the tag."""
    return Response(status_code=304, headers={"ETag": known.tag})
