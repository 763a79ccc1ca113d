"""Whatever goes wrong, told as RFC 9457 problem+json; the only place where errors become HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ValidationException, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from domain.errors import DomainError
from domain.ports.events import ConcurrentWrite
from gateway.faults import Fault, fault
from projections.failures import OUTAGES

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
TOO_LARGE = "content-too-large"
"""RFC 9110's name for 413; Python's differs from version to version."""

HINTS = {
    401: "send `Authorization: Bearer <token>`; `caravan tokens create NAME --role ROLE` makes one",
    404: "there is nothing at this address; GET /docs lists what there is",
    405: "this address does not take that method; the Allow header says which it takes",
    413: "the request's body is larger than the server takes (CARAVAN_MAX_BODY_BYTES, of a file to be imported "
    "CARAVAN_MAX_IMPORT_BYTES, and of a dataset's holdouts as many bytes more as their characters may take)",
    415: "the body must be sent as Content-Type: application/json",
    500: "something went wrong on our side; the server's log has the details under this request id",
    503: "the database cannot be reached right now; try again in a moment",
}


Answers = dict[int | str, dict[str, Any]]
"""Answers by status, as FastAPI takes them for an operation's description."""


class Problem(BaseModel):
    """What went wrong and what to do about it (RFC 9457)."""

    type: str = Field(examples=["urn:caravan:problem:version-conflict"])
    title: str = Field(examples=["Precondition Failed"])
    status: int = Field(examples=[412])
    detail: str = Field(examples=["it is at version 4, not 3: read it again, then repeat the change"])
    instance: str = Field(examples=["/v1/preferences/0198c0de-0000-7000-8000-000000000000/annotations"])
    request_id: str = Field(description="Names the request in the server's log")
    errors: list[Fault] | None = Field(default=None, description="Every fault of an invalid request")


class NotCaughtUp(DomainError):
    """A read model is not as far as a read needs it in time. HTTP 503."""

    status = 503


class NotInTheAudit(DomainError):
    """A walk was asked of an event that the audit could not take in. HTTP 409."""

    status = 409

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the audit could not take in the event at {position}, and does not know what led to it or what it led to; "
            "`caravan projections parked audit` says why"
        )


class LogElsewhere(DomainError):
    """A training's log is not on the gateway's machine. HTTP 404."""

    status = 404

    def __init__(self, run: UUID, trainer: str | None) -> None:
        who = f"its trainer, {trainer}," if trainer else "its trainer"
        super().__init__(
            f"the log of training run {run} is not on the gateway's machine: {who} writes it into its own "
            f"CARAVAN_HOME, as logs/training-{run}.log, from which `clean-up` removes it after a while"
        )


class InFlight(DomainError):
    """The same request is being worked on, under the same Idempotency-Key. HTTP 409."""

    status = 409

    def __init__(self) -> None:
        super().__init__("this request is being worked on; send it again in a moment, with the same Idempotency-Key")


class Unauthorized(DomainError):
    """No token, or one that is not valid. HTTP 401."""

    status = 401


class Forbidden(DomainError):
    """The token's role does not allow this. HTTP 403."""

    status = 403


def problem(
    request: Request,
    kind: str,
    status: int,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells it. `kind` ends the problem's type URI, and names it in the metrics."""
    context = request.state.context
    request.state.problem = kind
    body = Problem(
        type=f"urn:caravan:problem:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=context.request_id,
        errors=list(faults) or None,
    )
    extra = {"Retry-After": RETRY_SECONDS} if status == 503 else {}
    if status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers={**extra, **(headers or {})}, media_type=MEDIA_TYPE
    )


async def domain_error(request: Request, error: DomainError) -> JSONResponse:
    """A refused command or read, in the domain's own words."""
    headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, InFlight) else None
    return problem(request, kebab(type(error).__name__), error.status, str(error), headers=headers)


async def invalid_request(request: Request, error: ValidationException) -> JSONResponse:
    """A request that does not fit its schema. What was sent is not repeated: it may hold what JSON cannot."""
    body = error.body if isinstance(error, RequestValidationError) else None
    if isinstance(body, bytes):  # FastAPI parses what is called JSON, and hands on all else as it came
        return problem(request, "unsupported-media-type", 415, HINTS[415])
    faults = [fault(noticed, body) for noticed in error.errors()]
    detail = "the request is not valid: " + "; ".join(map(str, faults[:3]))
    return problem(request, "invalid-request", 422, detail, faults)


async def http_error(request: Request, error: HTTPException) -> JSONResponse:
    """What the framework refuses by itself: 404, 405, 413, 400."""
    status = error.status_code
    kind = TOO_LARGE if status == 413 else kebab(HTTPStatus(status).name)
    return problem(request, kind, status, HINTS.get(status, error.detail), headers=error.headers)


async def contended(request: Request, _error: ConcurrentWrite) -> JSONResponse:
    """Others write to the same aggregate faster than this caller."""
    return problem(request, "contended", 503, "others are changing the same thing right now; try again in a moment")


async def database_unavailable(request: Request, error: Exception) -> JSONResponse:
    """A command may have had its effect nevertheless: whoever repeats it uses the same Idempotency-Key."""
    logger.warning("the database is unavailable: {}: {}", type(error).__name__, error)
    return problem(request, "database-unavailable", 503, HINTS[503])


def unexpected(request: Request, error: Exception) -> JSONResponse:
    """A defect of ours: all of it goes into the log, nothing to the client but the id to find it by."""
    logger.opt(exception=error).error("unexpected {}", type(error).__name__)
    return problem(request, "internal-error", 500, HINTS[500])


def install(app: FastAPI) -> None:
    """Makes the app answer with problems only. Unexpected errors are the middleware's part."""
    app.exception_handler(DomainError)(domain_error)
    app.exception_handler(RequestValidationError)(invalid_request)
    app.exception_handler(WebSocketRequestValidationError)(invalid_request)
    app.exception_handler(HTTPException)(http_error)
    app.exception_handler(ConcurrentWrite)(contended)
    for outage in OUTAGES:
        app.exception_handler(outage)(database_unavailable)


def responses(*statuses: int) -> Answers:
    """The problems that an operation may answer with, for its OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def kebab(name: str) -> str:
    """`VersionConflict` and `NOT_FOUND` as `version-conflict` and `not-found`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).replace("_", "-").lower()
