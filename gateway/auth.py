"""Default deny: nobody gets past `Authentication` without a token, and every route says which role it needs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, cast

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import RouteContext
from fastapi.security.base import SecurityBase
from sqlalchemy import exc as sqlalchemy
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.access import Caller, Role
from gateway.docs import STRANGER
from gateway.errors import HINTS, Forbidden, Unauthorized, database_unavailable, domain_error
from projections.failures import OUTAGES

OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
"""All that answers without a token."""

DOCUMENTS = frozenset({"/docs", "/openapi.json", "/asyncapi.json"})
"""What a browser may open with the token as a password, since it cannot send one otherwise. Safe with Basic: these
change nothing, and no other path takes it."""

BASIC = 'Basic realm="Caravan: any name, a token as password"'
TOKEN_PROTOCOL = "bearer."  # noqa: S105 - a prefix, not a token
CACHE_SECONDS = 1.0
GRACE_SECONDS = 60.0
"""How long who was known may go on reading while the database is away."""

SAFE_METHODS = frozenset({"GET", "HEAD"})
CACHE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    verified_at: float


@dataclass(frozen=True, slots=True)
class _Lookup:
    answer: asyncio.Task[Caller | None]
    asked_at: float


class Doorkeeper:
    """Recognises tokens. A valid one is remembered for a second, so that a revocation acts within that time. Whoever
    brings a token that is being looked up waits for that, for as long as its answer would be remembered."""

    def __init__(
        self,
        recognise: Callable[[str], Caller | None],
        seconds: float = CACHE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recognise = recognise
        self._seconds = seconds
        self._now = now
        self._known: dict[bytes, _Remembered] = {}
        self._lookups: dict[bytes, _Lookup] = {}

    async def caller(self, token: str, only_reads: bool = False) -> Caller | None:
        """Whom the token stands for, if anybody.

        While the database is away, who was known a moment ago may go on reading, so that an operator can ask what is
        wrong. Raises what tells of the outage for anything else. A pool without a free connection is no such outage:
        tokens can be revoked meanwhile, and whoever loads the pool must not gain by it.
        """
        digest = sha256(token.encode(errors="replace")).digest()
        known = self._known.get(digest)
        if known and self._now() < known.verified_at + self._seconds:
            return known.caller
        try:
            return await self._look_up(digest, token)
        except sqlalchemy.TimeoutError:
            raise
        except OUTAGES:
            if known and only_reads and self._now() < known.verified_at + GRACE_SECONDS:
                return known.caller
            raise

    async def _look_up(self, digest: bytes, token: str) -> Caller | None:
        lookup = self._lookups.get(digest)
        if lookup is None or self._now() >= lookup.asked_at + self._seconds:
            asked_at = self._now()
            lookup = _Lookup(asyncio.create_task(self._ask(digest, token, asked_at)), asked_at)
            self._lookups[digest] = lookup
            lookup.answer.add_done_callback(lambda _: self._lookups.get(digest) is lookup and self._lookups.pop(digest))
        return await asyncio.shield(lookup.answer)  # who goes away takes it from nobody

    async def _ask(self, digest: bytes, token: str, asked_at: float) -> Caller | None:
        caller = await to_thread.run_sync(self._recognise, token)
        self._known.pop(digest, None)
        if caller:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[digest] = _Remembered(caller, verified_at=asked_at)
        return caller


class Authentication:
    """ASGI middleware: puts the caller into the request's state, or refuses. A WebSocket is refused before accept."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app = app
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        token = bearer_token(connection)
        refusal: Response
        only_reads = scope.get("method", "GET") in SAFE_METHODS  # a WebSocket, which has no method, is one GET
        try:
            caller = await self._doorkeeper.caller(token, only_reads) if token else None
        except OUTAGES as outage:
            refusal = await database_unavailable(cast(Request, connection), outage)
        else:
            if caller:
                connection.state.caller = caller
                connection.state.token = token
                await self._app(scope, receive, send)
                return
            reason = "this token is not valid, or was revoked" if token else "this needs a token"
            refusal = await domain_error(cast(Request, connection), Unauthorized(f"{reason}: {HINTS[401]}"))
            if scope["path"] in DOCUMENTS and "text/html" in connection.headers.get("accept", ""):
                refusal = HTMLResponse(STRANGER, 401, headers={"WWW-Authenticate": BASIC})
            elif scope["path"] in DOCUMENTS:
                refusal.headers.append("WWW-Authenticate", BASIC)
        await refusal(scope, receive, send)


def bearer_token(connection: HTTPConnection) -> str | None:
    """The token that a request brings: never in the address, which ends up in logs. A browser's WebSocket, which cannot
    set headers, offers it as subprotocol `bearer.<token>`."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic" and connection.scope["path"] in DOCUMENTS:
        return _password(credentials)
    if connection.scope["type"] == "websocket":
        for protocol in connection.scope.get("subprotocols", ()):
            if protocol.startswith(TOKEN_PROTOCOL):
                return str(protocol).removeprefix(TOKEN_PROTOCOL)
    return None


class Needs(SecurityBase):
    """A route's dependency: the least role that may use it. To OpenAPI it is the scheme by which tokens are sent."""

    model = HTTPBearer(
        description="A token made with `caravan tokens create NAME --role viewer|annotator|operator|admin`"
    )
    scheme_name = "HTTPBearer"

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, connection: HTTPConnection) -> None:  # async: FastAPI calls plain ones in a thread each
        """Raises Forbidden."""
        caller: Caller = connection.state.caller
        if not caller.role.includes(self.role):
            raise Forbidden(f"this needs the role {self.role}; the token {caller.actor.subject} is {caller.role}")


def needs(role: Role) -> list[Dependency]:
    """The `dependencies` of a route, or of a router, that this role and those above it may use."""
    return [Depends(Needs(role))]


def with_highest_role(dependencies: Sequence[Dependency]) -> list[Dependency]:
    """All of them, but of the roles the highest alone: whoever holds it holds the others."""
    roles = [one.dependency.role for one in dependencies if isinstance(one.dependency, Needs)]
    highest = _highest(roles)
    return [one for one in dependencies if not (isinstance(one.dependency, Needs) and one.dependency.role != highest)]


async def who(connection: HTTPConnection) -> Caller:
    """The caller, as its token says."""
    return cast(Caller, connection.state.caller)


Who = Annotated[Caller, Depends(who)]


def needed_role(route: RouteContext) -> Role | None:
    """The role that a route asks for; None for one that forgot to."""
    dependant = getattr(route, "dependant", None)
    roles = [one.call.role for one in dependant.dependencies if isinstance(one.call, Needs)] if dependant else []
    return _highest(roles)


def _highest(roles: Iterable[Role]) -> Role | None:
    return max(roles, key=list(Role).index, default=None)


def _password(credentials: str) -> str | None:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
