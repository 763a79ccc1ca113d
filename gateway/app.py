"""The HTTP application: routes, and what every request goes through. It makes nothing; it is given a Core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
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
from gateway.agents_file import watch_agents_file
from gateway.asyncapi import asyncapi
from gateway.auth import OPEN_PATHS, Authentication, Doorkeeper, needed_role, needs
from gateway.bootstrap import Core
from gateway.docs import reference
from gateway.frames import Delta
from gateway.in_flight import CommandsInFlight
from gateway.metrics import RequestMetrics, WorkMetrics
from gateway.middleware import Limits, RequestScope
from gateway.openapi import describe
from gateway.requests import OPEN_VIEWS, NotModified, not_modified
from gateway.routes import (
    adapters,
    agents,
    annotation,
    audit,
    batches,
    datasets,
    evaluations,
    exports,
    imports,
    jobs,
    logs,
    ops,
    preferences,
    rankings,
    seals,
    serving,
    single_agents,
    stream,
    training,
    workflows,
)
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
        telemetry={"tracing": True, "operation_spans": False, "metrics": False, "logs": False, "exclude": _is_a_look},
    )
    app.state.core = core
    app.state.in_flight = CommandsInFlight()
    app.state.views = CapacityLimiter(OPEN_VIEWS)
    app.state.uploads = CapacityLimiter(imports.UPLOADS_AT_ONCE)
    app.state.glances = CapacityLimiter(1)
    app.state.streams = Streams(tail, doorkeeper, core.live_text)
    app.state.probes = {**core.probes, "stream": tail.probe}
    app.state.registry = registry = CollectorRegistry()
    registry.register(
        WorkMetrics(
            core.engine,
            core.feed.head,
            core.relayed,
            core.policies.standings,
            core.seals.standing,
            core.standings.told,
        )
    )

    modules = (
        workflows,
        batches,
        logs,
        preferences,
        annotation,
        rankings,
        datasets,
        exports,
        imports,
        training,
        adapters,
        serving,
        evaluations,
        agents,
        single_agents,
        audit,
        seals,
        jobs,
        stream,
        ops,
    )
    for module in modules:
        app.router.routes += module.router.routes  # side by side: what is in an included router is looked for twice
    app.router.routes += ops.open_router.routes
    _add_documents(app)
    _check_roles(app)

    errors.install(app)
    app.exception_handler(NotModified)(not_modified)
    # The last one added is the outermost.
    most = core.settings.max_body_bytes
    larger = {
        imports.FILES: core.settings.max_import_bytes,
        datasets.router.prefix: most + datasets.MOST_HOLDOUTS,
    }
    app.add_middleware(Limits, max_body_bytes=most, larger=larger)
    app.add_middleware(Authentication, doorkeeper=doorkeeper)
    app.add_middleware(RequestScope, metrics=RequestMetrics(registry))
    return app


def _is_a_look(scope: MutableMapping[str, Any]) -> bool:
    """Probes and Prometheus come every few seconds, and nothing follows from them: no traces."""
    return str(scope["path"]) in OPEN_PATHS or scope["path"] == "/metrics"


def _following(tail: Tail, core: Core) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        stop = asyncio.Event()
        following = asyncio.create_task(tail.run())
        listening = asyncio.create_task(core.bell.listen(stop, lambda _topic: tail.wake()))
        hearing = asyncio.create_task(core.live_text.run(stop, lambda delta: tail.mention(Delta.of(delta))))
        watching = asyncio.create_task(watch_agents_file(core, stop))
        yield
        stop.set()
        following.cancel()
        await asyncio.wait([following, listening, hearing, watching])

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
