"""`caravan run`, `runs`, `stop` and `logs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from rich.markup import escape
from rich.progress import Progress

from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import events, insistently, patiently
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.cli.progress import progress_bar
from gateway.settings import Settings

app = typer.Typer()

FINISHED = frozenset({"completed", "failed", "stopped"})
COLUMNS = ("run_id", "state", "kind", "ref", "batch", "steps", "ballots", "unparseable")


@app.command()
def run(
    task: Annotated[str | None, typer.Argument(help="The task, as one turn.")] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help='A JSON Lines file of tasks, each {"turns": [...], "ref": ..., "category": ...}.',
        ),
    ] = None,
    kind: str = "mutual_ranking",
    agent: Annotated[list[str] | None, typer.Option(help="Only these agents; may be repeated.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Cap of each answer.")] = None,
    wait: Annotated[bool, typer.Option(help="Stay until every run is finished.")] = True,
    as_json: AsJson = False,
) -> None:
    """Start a run for one task, or for each task of a file, and show the progress."""
    if (task is None) == (tasks is None):
        raise typer.BadParameter("give a task, or a file with --tasks")
    with plain_errors():
        wanted = read_tasks(tasks) if tasks else [{"turns": [task]}]
        api = open_api(Settings())
        batch, position = start_batch(api, wanted, kind=kind, agents=agent or [], max_tokens=max_tokens)
        if wait:
            with progress_bar() as bar:
                wait_for_batch(api, batch, len(wanted), bar)
        runs = list(api.pages("/v1/workflows", batch=batch, after=position))
    show(runs, as_json, COLUMNS)
    if any(run["state"] == "failed" for run in runs):
        raise typer.Exit(1)


@app.command()
def runs(
    state: str | None = None,
    batch: str | None = None,
    since: Annotated[str | None, typer.Option(help="Asked for then or later, e.g. 2026-11-01T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Asked for before that.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first."""
    with plain_errors():
        asked = {"state": state, "batch": batch, "since": since, "until": until}
        found = list(open_api(Settings()).pages("/v1/workflows", **asked))
    show(found, as_json, COLUMNS)


@app.command()
def stop(run: UUID, reason: str = "stopped from the command line", as_json: AsJson = False) -> None:
    """Stop a run."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/workflows/{run}/stop", {"reason": reason})
    show(written, as_json)


@app.command()
def logs(
    run: Annotated[UUID | None, typer.Option(help="Only this run.")] = None,
    agent: str | None = None,
    text: str | None = None,
    phase: Annotated[str | None, typer.Option(help="Only these calls, e.g. answer.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is said from now on; --json: one a line.")
    ] = False,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """Show what agents said, the newest last."""
    with plain_errors():
        api = open_api(Settings())
        wanted = {"workflow": run, "agent": agent, "text": text, "phase": phase}
        page = api.get("/v1/logs", **wanted, limit=limit)
        if as_json and not follow:
            show(page["items"], as_json)
            return
        for entry in reversed(page["items"]):
            _say(entry, as_json)
        if follow:
            for entry in _entries_after(api, page["position"], wanted):
                _say(entry, as_json)


def read_tasks(file: Path) -> list[dict[str, Any]]:
    """The tasks of a JSON Lines file; `question_id` or the line number serves as `ref`. Raises ApiError."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            task = json.loads(line)
            ref = str(task.get("ref") or task.get("question_id") or number)
            found.append({"turns": task["turns"], "ref": ref, "category": task.get("category", "")})
        except (ValueError, KeyError, AttributeError) as error:
            raise ApiError(f'{file}:{number} is no task; write {{"turns": ["..."]}} on each line') from error
    if not found:
        raise ApiError(f"{file} holds no task")
    return found


def start_batch(
    api: Api, tasks: list[dict[str, Any]], *, kind: str, agents: list[str], max_tokens: int | None, batch: str = ""
) -> tuple[str, int]:
    """Starts a run for each task, together; returns the batch's name, and the position at which all are asked for."""
    batch = batch or f"batch-{uuid4().hex[:12]}"
    body = {"kind": kind, "tasks": tasks, "agents": agents, "batch": batch, "max_tokens": max_tokens}
    return batch, int(api.post("/v1/workflows/batch", body)["position"])


def wait_for_batch(api: Api, batch: str, total: int, bar: Progress) -> list[dict[str, Any]]:
    """Shows how the runs of a batch come along, and returns them when all are finished."""
    row = bar.add_task("runs", total=total)

    def finished() -> list[dict[str, Any]] | None:
        runs = list(api.pages("/v1/workflows", batch=batch, limit=200))
        done = sum(run["state"] in FINISHED for run in runs)
        steps = sum(run["steps"] for run in runs)
        bar.update(row, completed=done, description=f"runs · {steps} steps")
        return runs if done == total else None

    return patiently(finished)


def _entries_after(api: Api, position: int, wanted: Json) -> Iterator[Json]:
    """The log's entries from there on, for ever. The log itself says which of them are wanted."""
    for event in events(api, after=position, workflow=wanted["workflow"], types="workflow.step_recorded"):
        at = event["position"]
        of_run = wanted | {"workflow": event["subject"], "as_of": at, "after": at, "limit": 1}
        newest = insistently(partial(api.get, "/v1/logs", **of_run))["items"]
        yield from (entry for entry in newest if entry["position"] == at)


def _say(entry: Json, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    score = entry["score"]
    said = entry["output"] if score is None else f"{score:.3f} nats a token"
    console.print(f"[bold]{escape(entry['agent'])}[/] [dim]{escape(entry['phase'])}[/] {escape(said)}", highlight=False)
