"""/v1/batches: how far many tasks are; pause, resume, retry and stop them. `POST /v1/workflows/batch` starts one."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from commands.batches import PauseBatch, ResumeBatch, RetryBatch, StopBatch
from domain.access import Role
from domain.batch import BatchState
from domain.ports.events import Written
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import NO_REASON, Commands, Cursor, ExpectedVersion, Limit, Reason, Tag, View, found, viewing
from gateway.routes.workflows import AS_BEFORE, Retry
from gateway.run_shapes import BatchEntry
from gateway.shapes import page_of
from gateway.strict import StrictRoute
from projections import batch_runs, batches, workflow_runs

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Batches = Annotated[View, viewing(batches.PROJECTOR, batch_runs.PROJECTOR, workflow_runs.PROJECTOR)]


@router.get("", response_model=page_of(BatchEntry))
def list_batches(
    view: Batches, state: BatchState | None = None, cursor: Cursor = None, limit: Limit = 50
) -> dict[str, Any]:
    """Batches, the newest first, with how their runs stand."""
    return view.page(batches.batches(view.db, state, cursor, limit))


@router.get("/{batch_id}", response_model=BatchEntry, responses=responses(404))
def get_batch(batch_id: UUID, view: Batches, tag: Tag) -> dict[str, Any]:
    """How far a batch is. Its runs: `GET /v1/workflows?batch=ID`."""
    batch = found(batches.find(view.db, batch_id), "batch", batch_id)
    tag.set(batch["version"])  # of the batch: its runs go on without it
    return batch


@router.post("/{batch_id}/pause", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def pause_batch(batch_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Begins no further run. Those that were asked for go on; each can be paused by itself."""
    return await command(PauseBatch(batch_id, body.reason, version))


@router.post("/{batch_id}/resume", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def resume_batch(batch_id: UUID, command: Commands, version: ExpectedVersion) -> Written:
    """Lets a paused batch go on."""
    return await command.in_thread(ResumeBatch(batch_id, version))


@router.post("/{batch_id}/retry", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def retry_batch(batch_id: UUID, command: Commands, version: ExpectedVersion, body: Retry = AS_BEFORE) -> Written:
    """Takes up those of its runs that failed or reached a limit, no more at once than before; what they have recorded
    stays. One that has reached the new limits too is passed over."""
    limits = None if body.limits is None else body.limits.limits()
    return await command.in_thread(RetryBatch(batch_id, limits, body.reason, version))


@router.post("/{batch_id}/stop", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def stop_batch(batch_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Ends a batch; its unfinished runs are stopped within a moment, and what they have recorded stays."""
    return await command(StopBatch(batch_id, body.reason, version))
