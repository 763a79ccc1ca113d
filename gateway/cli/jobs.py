"""`caravan jobs`: what workers do besides runs and trainings, and the dead letters."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, plain_errors, show, show_pages
from gateway.settings import Settings

app = typer.Typer()
jobs = typer.Typer(no_args_is_help=True, help="Jobs: maintenance and checks, periodic or asked for.")
app.add_typer(jobs, name="jobs")

COLUMNS = ("job_id", "kind", "state", "priority", "attempt", "failures", "requested_at", "reason")
QUEUE = ("queue", "depth", "oldest_seconds", "resting", "running", "dead", "failures")
SCHEDULE = ("name", "cron", "next_due", "last_state", "last_requested_at")
KIND = ("name", "queue", "purpose")
EVENT = ("at", "event", "attempt", "worker", "text", "error", "reason")
OVER = frozenset({"succeeded", "dead", "cancelled"})


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only these, e.g. dead.")] = None,
    kind: str | None = None,
    queue: str | None = None,
    priority: str | None = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, newest first."""
    show_pages("/v1/jobs", as_json, COLUMNS, state=state, kind=kind, queue=queue, priority=priority)


@jobs.command("show")
def show_job(job: UUID, as_json: AsJson = False) -> None:
    """Show a job, its result, and the history of its attempts."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/jobs/{job}")
    history = found.pop("history")
    show(found | {"history": history} if as_json else found, as_json)
    if not as_json:
        show([{"at": each["time"], "event": each["type"], **each["data"]} for each in history], False, EVENT)


@jobs.command("result")
def print_result(job: UUID) -> None:
    """Print what a job came to, as JSON."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/jobs/{job}/result")
    show(found, as_json=True)


@jobs.command("kinds")
def list_kinds(as_json: AsJson = False) -> None:
    """List the kinds of jobs that there are; --json shows what each takes."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/jobs/kinds")["items"]
    show(found, as_json, KIND)


@jobs.command("run")
def run_job(
    kind: str,
    payload: Annotated[str, typer.Option(help="JSON, in the form of its kind.")] = "{}",
    priority: Annotated[str | None, typer.Option(help="high, normal or low.")] = None,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Ask for a job, and wait for its result; the exit code is 1 where it is dead or was cancelled."""
    with plain_errors():
        api = open_api(Settings())
        body: Json = {"kind": kind, "payload": _parsed(payload), "priority": priority}
        written = api.post("/v1/jobs", body)
        job = api.get(f"/v1/jobs/{written['id']}", after=written["position"])
        if wait:
            job = _over(api, written["id"])
    job.pop("history")
    show(job, as_json)
    if wait and job["state"] != "succeeded":
        raise typer.Exit(1)


@jobs.command("replay")
def replay_jobs(
    job: Annotated[UUID | None, typer.Argument(help="One dead letter.")] = None,
    all_of: Annotated[str | None, typer.Option("--all", help="All dead letters of this kind.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a job, or all of a kind, out of the dead letters; they have all their attempts again."""
    if (job is None) == (all_of is None):
        raise typer.BadParameter("name one job, or a kind with --all")
    with plain_errors():
        api = open_api(Settings())
        dead = [str(job)] if job else [each["job_id"] for each in api.pages("/v1/jobs", state="dead", kind=all_of)]
        written = [api.post(f"/v1/jobs/{each}/replay") for each in dead]
    show(written, as_json, ("id", "version", "position"))


@jobs.command("cancel")
def cancel_job(job: UUID, reason: str = "cancelled from the command line", as_json: AsJson = False) -> None:
    """End a job, whether it has begun or not, or let a dead letter be."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/jobs/{job}/cancel", {"reason": reason})
    show(written, as_json)


@jobs.command("queues")
def list_queues(as_json: AsJson = False) -> None:
    """Say how the queues stand: what waits, for how long, what runs, and what is dead."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/jobs/queues")["items"]
    show(found, as_json, QUEUE)


@jobs.command("schedules")
def list_schedules(as_json: AsJson = False) -> None:
    """List the periodic jobs: when each is due, in UTC, and how its last one stands."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/schedules")["items"]
    rows = [
        each | {"last_state": last.get("state"), "last_requested_at": last.get("requested_at")}
        for each in found
        for last in [each["last_job"] or {}]
    ]
    show(found if as_json else rows, as_json, SCHEDULE)


def _parsed(payload: str) -> Json:
    try:
        parsed = json.loads(payload)
    except json.JSONDecodeError as error:
        raise ApiError(f"the payload is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ApiError('the payload must be a JSON object, e.g. {"log_days": 30}')
    return parsed


def _over(api: Api, id: str) -> Json:
    def over() -> Json | None:
        job = api.get(f"/v1/jobs/{id}")
        return job if job["state"] in OVER else None

    return patiently(over)
