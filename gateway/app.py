"""The HTTP application: routes, and what every request goes through. It makes nothing; it is given a Core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry

from domain.access import Role
from gateway import errors
from gateway.asyncapi import asyncapi
from gateway.auth import OPEN_PATHS, Authentication, Doorkeeper, needed_role, needs
from gateway.bootstrap import Core
from gateway.docs import reference
from gateway.in_flight import CommandsInFlight
from gateway.metrics import RequestMetrics, WorkMetrics
from gateway.middleware import Limits, RequestScope
from gateway.openapi import describe
from gateway.requests import OPEN_VIEWS, NotModified, not_modified
from gateway.routes import adapters, agents, audit, datasets, logs, ops, preferences, seals, stream, training, workflows
from gateway.streams import Streams
from gateway.tail import Tail

DESCRIPTION = (
    "The event-sourced backend of a self-improving team of agents. Every request brings a bearer token; every command "
    "answers with its position in the log, which any read takes as `after` and any stream resumes from."
)


def create_app(core: Core) -> FastAPI:
    """Raises RuntimeError for a route that forgot to say which role it needs."""
    doorkeeper = Doorkeeper(core.tokens.caller)
    tail = Tail(core.feed)
    app = FastAPI(
        title="Caravan",
        version=version("caravan"),
        description=DESCRIPTION,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_following(tail, core),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.core = core
    app.state.in_flight = CommandsInFlight()
    app.state.views = CapacityLimiter(OPEN_VIEWS)
    app.state.streams = Streams(tail, doorkeeper)
    app.state.probes = {**core.probes, "stream": tail.probe}
    app.state.registry = registry = CollectorRegistry()
    registry.register(
        WorkMetrics(core.engine, core.feed.head, core.relayed, core.policies.standings, core.seals.standing)
    )

    for module in (workflows, logs, preferences, datasets, training, adapters, agents, audit, seals, stream, ops):
        app.router.routes += module.router.routes  # side by side: what is in an included router is looked for twice
    app.router.routes += ops.open_router.routes
    _add_documents(app)
    _check_roles(app)

    errors.install(app)
    app.exception_handler(NotModified)(not_modified)
    # The last one added is the outermost.
    app.add_middleware(Limits, max_body_bytes=core.settings.max_body_bytes)
    app.add_middleware(Authentication, doorkeeper=doorkeeper)
    app.add_middleware(RequestScope, metrics=RequestMetrics(registry))
    return app


def _following(tail: Tail, core: Core) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        stop = asyncio.Event()
        following = asyncio.create_task(tail.run())
        listening = asyncio.create_task(core.bell.listen(stop, lambda _topic: tail.wake()))
        yield
        stop.set()
        following.cancel()
        await asyncio.wait([following, listening])

    return lifespan


def _add_documents(app: FastAPI) -> None:
    viewer = needs(Role.VIEWER)

    @app.get("/openapi.json", dependencies=viewer, include_in_schema=False)
    def openapi_document() -> dict[str, Any]:
        return describe(app)

    @app.get("/asyncapi.json", dependencies=viewer, include_in_schema=False)
    def asyncapi_document() -> dict[str, Any]:
        return asyncapi(app.version)

    @app.get("/docs", dependencies=viewer, include_in_schema=False, response_class=HTMLResponse)
    def docs() -> Response:
        return HTMLResponse(reference(describe(app)))


def _check_roles(app: FastAPI) -> None:
    for route in iter_route_contexts(app.routes):
        if route.path not in OPEN_PATHS and needed_role(route) is None:
            raise RuntimeError(f"{route.path} does not say which role it needs; add dependencies=needs(Role....)")
