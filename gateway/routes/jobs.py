"""/v1/jobs and /v1/schedules: what workers do besides runs and trainings, how it stands, and the dead letters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from commands.job_kinds import JOB_KINDS
from commands.jobs import CancelJob, ReplayJob, RequestJob
from domain.access import Role
from domain.catalogue import topics_of
from domain.errors import NotReady
from domain.job import Job, JobState, Priority, ResultFile
from domain.ports.events import Written
from gateway.auth import needs
from gateway.errors import responses
from gateway.job_shapes import JobEntry, JobHistory, JobKindEntry, QueueEntry, ScheduleEntry
from gateway.requests import (
    NO_REASON,
    Commands,
    CoreOf,
    Cursor,
    ExpectedVersion,
    Limit,
    Reason,
    Tag,
    View,
    found,
    viewing,
)
from gateway.shapes import PageOf, page_of
from gateway.strict import Body, StrictRoute
from projections import jobs

router = APIRouter(tags=["jobs"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Jobs = Annotated[View, viewing(jobs.PROJECTOR)]
Named = Annotated[str | None, Query(max_length=80)]


class JobRequest(Body):
    """`GET /v1/jobs/kinds` tells the kinds, and what each takes."""

    kind: str = Field(max_length=80, examples=["clean-up"])
    payload: dict[str, Any] = Field(default={}, description="In the form of its kind; what is left out has its default")
    priority: Priority | None = Field(default=None, description="null: the kind's own")
    not_before: AwareDatetime | None = Field(default=None, description="null: as soon as a worker is free")


@router.post("/v1/jobs", status_code=202, dependencies=needs(Role.OPERATOR))
async def request_job(body: JobRequest, command: Commands) -> Written:
    """Asks for a job."""
    request = RequestJob(body.kind, body.payload, body.priority, body.not_before)
    return await command(request, location="/v1/jobs/{id}")


@router.get("/v1/jobs", response_model=page_of(JobEntry))
def list_jobs(
    view: Jobs,
    state: JobState | None = None,
    queue: Named = None,
    kind: Named = None,
    priority: Priority | None = None,
    schedule: Named = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Jobs, the newest first. The dead letters: `state=dead`."""
    return view.page(jobs.jobs(view.db, state, queue, kind, priority, schedule, cursor, limit))


@router.get("/v1/jobs/kinds")
def list_kinds(view: Jobs) -> PageOf[JobKindEntry]:
    """The kinds of jobs that anybody may ask for."""
    items = [
        JobKindEntry(name=kind.name, queue=kind.queue, purpose=kind.purpose, priority=kind.priority, payload=kind.form)
        for kind in JOB_KINDS.values()
        if kind.belongs_to is None
    ]
    return PageOf[JobKindEntry](items=items, next=None, position=view.position)


@router.get("/v1/jobs/queues", response_model=PageOf[QueueEntry])
def list_queues(view: Jobs) -> dict[str, Any]:
    """How each queue stands that ever had a job."""
    return view.all(jobs.queues(view.db, datetime.now(UTC)))


@router.get("/v1/jobs/{job_id}", response_model=JobHistory, responses=responses(404))
def get_job(job_id: UUID, view: Jobs, core: CoreOf, tag: Tag) -> dict[str, Any]:
    """A job, with its result, and the history of its attempts."""
    job = tag.named(found(jobs.find(view.db, job_id), "job", job_id))
    history = core.feed.life(job_id, job["position"], topics_of(Job), view.db)
    return job | {"history": history}


@router.get("/v1/jobs/{job_id}/result", responses=responses(404, 409))
def get_result(job_id: UUID, view: Jobs, core: CoreOf) -> dict[str, Any]:
    """What a job came to, be it in its event or, where it is large, in a file. A file that was lost is told 404."""
    job = found(jobs.find(view.db, job_id), "job", job_id)
    if job["state"] != JobState.SUCCEEDED.value:
        raise NotReady(f"the job is {job['state']} and has no result")
    if job["result_file"] is None:
        return cast("dict[str, Any]", job["result"])
    return cast("dict[str, Any]", json.loads(core.job_results.read(ResultFile(**job["result_file"]))))


@router.post("/v1/jobs/{job_id}/replay", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def replay_job(job_id: UUID, command: Commands, version: ExpectedVersion) -> Written:
    """Takes a job out of the dead letters; it has all its attempts again."""
    return await command(ReplayJob(job_id, version))


@router.post("/v1/jobs/{job_id}/cancel", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def cancel_job(job_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Ends a job; where one works on it, its worker stops within about a second. A dead letter is let be."""
    return await command(CancelJob(job_id, body.reason, version))


@router.get("/v1/schedules", response_model=PageOf[ScheduleEntry])
def list_schedules(view: Jobs, core: CoreOf) -> dict[str, Any]:
    """The periodic jobs: when each is due next, and how its last one stands."""
    now = datetime.now(UTC)
    return view.all(
        [
            {
                "name": schedule.name,
                "kind": schedule.kind,
                "cron": schedule.cron,
                "payload": schedule.payload,
                "next_due": core.calendar.next(schedule.cron, now),
                "last_job": jobs.latest(view.db, schedule.name),
            }
            for schedule in core.schedules
        ]
    )
