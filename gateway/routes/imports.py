"""/v1/imports: files of preferences that were judged elsewhere. A file is sent under its hash; a job imports it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from uuid import UUID

from anyio import CapacityLimiter, from_thread, to_thread
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from commands.job_kinds import IMPORT
from commands.jobs import RequestJob
from domain.access import Role
from domain.errors import Invalid, NotFound, NotReady
from domain.importing import AUTO
from domain.job import JobState
from domain.ports.events import Written
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.requests import NO_REASON, Commands, CoreOf, Reason, found, view_of
from gateway.strict import Body, StrictRoute
from projections import jobs

FILES = "/v1/imports/files/"
UPLOADS_AT_ONCE = 4
"""Each has a thread for as long as its client takes."""
MEDIA_TYPE = "application/jsonl"
ASIDE: Answers = {200: {"description": "`line`, `reason` and `text` of each row", "content": {MEDIA_TYPE: {}}}}
BYTES = {"schema": {"type": "string", "format": "binary"}}
HASH = "^[0-9a-f]{64}$"
JOBS = (jobs.PROJECTOR.name,)

router = APIRouter(prefix="/v1/imports", tags=["imports"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Sha256 = Annotated[str, Path(pattern=HASH, description="Of the file's bytes, hex")]


class SentFile(BaseModel):
    """A file that can be imported."""

    sha256: str
    size: int = Field(description="Bytes")


class ImportRequest(Body):
    """A file that was sent."""

    sha256: str = Field(pattern=HASH)
    format: str = Field(
        default=AUTO,
        max_length=40,
        description="caravan, alpaca-eval, ultrafeedback, hh or trl; auto: by its first rows",
    )
    name: str = Field(default="", max_length=200, description="What you call it; it stays in the history")


@router.put(
    "/files/{sha256}",
    dependencies=needs(Role.OPERATOR),
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": BYTES}}},
)
async def send_file(sha256: Sha256, request: Request, core: CoreOf) -> SentFile:
    """Takes a file: JSON Lines, gzipped or not, or Parquet. The same file again changes nothing."""
    uploads: CapacityLimiter = request.app.state.uploads
    pieces = _in_thread(request.stream())
    return SentFile(
        sha256=sha256, size=await to_thread.run_sync(core.import_files.receive, sha256, pieces, limiter=uploads)
    )


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def request_import(body: ImportRequest, request: Request, command: Commands, core: CoreOf) -> Written:
    """Asks for the job that imports a file. What is known already is not added again. Of a file that is refused the
    first rows were read."""
    if body.format not in (formats := (AUTO, *core.import_files.forms)):
        raise Invalid(f"there is no format {body.format!r}; there is {', '.join(formats)}")
    glances: CapacityLimiter = request.app.state.glances
    await to_thread.run_sync(core.import_files.glance, body.sha256, body.format, limiter=glances)
    payload = {"sha256": body.sha256, "form": body.format, "name": body.name}
    return await command(RequestJob(IMPORT, payload), location="/v1/jobs/{id}")


@router.get("/{import_id}/set-aside", response_class=FileResponse, responses=ASIDE | responses(404))
def download_set_aside(import_id: UUID, core: CoreOf) -> FileResponse:
    """The rows that made no pair: where each was, why, and how it read. There once the import has ended well."""
    name = f"{import_id}.set-aside.jsonl"
    return FileResponse(core.import_files.set_aside(import_id), media_type=MEDIA_TYPE, filename=name)


def _import_to_withdraw(import_id: UUID, core: CoreOf) -> dict[str, Any]:
    with view_of(core, JOBS) as view:
        job = found(jobs.find(view.db, import_id), "import", import_id)
    if job["kind"] != IMPORT:
        raise NotFound("import", import_id)
    if job["state"] in (JobState.WAITING, JobState.RUNNING):
        raise NotReady("the import goes on; cancel its job first, or wait for its end")
    return job


@router.post("/{import_id}/withdraw", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404, 409))
async def withdraw_import(
    job: Annotated[dict[str, Any], Depends(_import_to_withdraw)], command: Commands, body: Reason = NO_REASON
) -> Written:
    """Asks for the job that withdraws every pair that an import added. Nothing is erased, and importing the file again
    does not bring them back."""
    payload = {"import_id": str(job["job_id"]), "reason": body.reason}
    return await command(RequestJob("withdraw-import", payload), location="/v1/jobs/{id}")


def _in_thread(pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The pieces as a thread of the event loop's takes them. Raises what reading them raises."""

    async def next_piece() -> bytes | None:
        return await anext(pieces, None)

    while (piece := from_thread.run(next_piece)) is not None:
        yield piece
