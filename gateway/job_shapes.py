"""What reads of jobs answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from domain.job import Priority, ResultFile
from gateway.shapes import model_of
from projections import jobs

_JOB = {"payload": dict[str, Any], "result": dict[str, Any], "result_file": ResultFile}
JobEntry = model_of("Job", jobs.TABLE, _JOB)
JobHistory = model_of(
    "JobWithHistory",
    jobs.TABLE,
    _JOB,
    history=(
        list[dict[str, Any]],
        Field(description="Every attempt, and what became of it: its events, as CloudEvents"),
    ),
)


class JobKindEntry(BaseModel):
    """A kind of job."""

    name: str
    queue: str
    purpose: str
    priority: Priority
    payload: dict[str, Any] = Field(description="What its payload may be, as JSON Schema")


class QueueEntry(BaseModel):
    """How a queue stands."""

    queue: str
    depth: int = Field(description="Jobs that are due and wait for a worker")
    resting: int = Field(description="Jobs that wait for their time, or the end of a rest between two attempts")
    running: int
    dead: int = Field(description="Dead letters")
    failures: int = Field(description="Attempts that ever failed")
    oldest_seconds: float = Field(description="How long the oldest job has been due; 0 where none is")


class ScheduleEntry(BaseModel):
    """A periodic job; `last_job` is null before its first."""

    name: str
    kind: str
    cron: str = Field(description="As in crontab(5), in UTC")
    payload: dict[str, Any]
    next_due: datetime | None
    last_job: JobEntry | None  # type: ignore[valid-type]  # made at run time
