"""`caravan run`, `runs` and `logs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import Progress

from domain.batch import OVER
from domain.workflow import FINISHED
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import events, insistently, patiently
from gateway.cli.output import AsJson, console, plain_errors, show, show_pages
from gateway.cli.progress import progress_bar
from gateway.cli.watch import tell_what_fell_short, used
from gateway.settings import Settings

app = typer.Typer()

BudgetTokens = Annotated[int | None, typer.Option(help="Tokens, in and out, that a run may use.")]
BudgetSteps = Annotated[int | None, typer.Option(help="Model calls, and uses of tools, that a run may make.")]
TimeLimit = Annotated[float | None, typer.Option(help="Seconds that a run may take, without its pauses.")]
StepTimeLimit = Annotated[float | None, typer.Option(help="Seconds that one model call, or use of a tool, may take.")]
RECORDED = "workflow.step_recorded,workflow.tool_used"
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
    budget_tokens: BudgetTokens = None,
    budget_steps: BudgetSteps = None,
    time_limit: TimeLimit = None,
    step_time_limit: StepTimeLimit = None,
    at_once: Annotated[int | None, typer.Option(help="Runs unfinished at a time, at most; left out: all.")] = None,
    wait: Annotated[bool, typer.Option(help="Stay until every run is finished.")] = True,
    as_json: AsJson = False,
) -> None:
    """Start a run for one task, or for each task of a file, and show the progress."""
    if (task is None) == (tasks is None):
        raise typer.BadParameter("give a task, or a file with --tasks")
    with plain_errors():
        wanted = read_tasks(tasks) if tasks else [{"turns": [task]}]
        api = open_api(Settings())
        batch, position = start_batch(
            api,
            wanted,
            kind=kind,
            agents=agent or [],
            max_tokens=max_tokens,
            limits=limits_of(budget_tokens, budget_steps, time_limit, step_time_limit),
            at_once=at_once,
        )
        if not as_json:
            console.print(f"batch {batch}")
        if wait:
            with progress_bar() as bar:
                wait_for_batch(api, batch, len(wanted), bar, after=position)
        runs = list(api.pages("/v1/workflows", batch=batch, after=position))
    show(runs, as_json, COLUMNS)
    if tell_what_fell_short(runs):
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
    show_pages("/v1/workflows", as_json, COLUMNS, state=state, batch=batch, since=since, until=until)


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


def limits_of(tokens: int | None, steps: int | None, seconds: float | None, step_seconds: float | None) -> Json:
    """Those that are given."""
    given = {"tokens": tokens, "steps": steps, "seconds": seconds, "step_seconds": step_seconds}
    return {name: limit for name, limit in given.items() if limit is not None}


def start_batch(
    api: Api,
    tasks: list[dict[str, Any]],
    *,
    kind: str,
    agents: list[str],
    max_tokens: int | None,
    batch: str = "",
    limits: Json | None = None,
    at_once: int | None = None,
) -> tuple[str, int]:
    """Starts a batch, named `batch`, of a run for each task; returns its id, and the position at which it is there."""
    asked = {"tasks": tasks, "kind": kind, "agents": agents, "batch": batch, "max_tokens": max_tokens}
    body = asked | {"limits": limits or {}, "at_once": at_once}
    written = api.post("/v1/workflows/batch", body)
    return written["id"], int(written["position"])


def wait_for_batch(api: Api, batch: str, total: int, bar: Progress, after: int = 0) -> list[dict[str, Any]]:
    """Shows how the runs of a batch, by its id, come along, and returns them when it is over and all are finished.
    `after`: the position at which it is there."""
    row = bar.add_task("runs", total=total)

    def finished() -> list[dict[str, Any]] | None:
        now = api.get(f"/v1/batches/{batch}", after=after)
        done = sum(now[state] for state in FINISHED)
        bar.update(row, completed=done, description=f"runs · {now['steps']} steps")
        over = now["state"] in OVER and done == now["requested"]
        return list(api.pages("/v1/workflows", batch=batch, limit=200)) if over else None

    return patiently(finished)


def _entries_after(api: Api, position: int, wanted: Json) -> Iterator[Json]:
    """The log's entries from there on, for ever. The log itself says which of them are wanted."""
    for event in events(api, after=position, workflow=wanted["workflow"], types=RECORDED):
        at = event["position"]
        of_run = wanted | {"workflow": event["subject"], "as_of": at, "after": at, "limit": 1}
        newest = insistently(partial(api.get, "/v1/logs", **of_run))["items"]
        yield from (entry for entry in newest if entry["position"] == at)


def said(entry: Json) -> str:
    """A call's output, or its score; of a tool, what came of it."""
    if entry["model"] is None:
        return used(entry["tool_calls"][0])
    return str(entry["output"]) if entry["score"] is None else f"{entry['score']:.3f} nats a token"


def _say(entry: Json, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    text, again = said(entry), " (cached)" if entry["cached"] else ""
    heading = f"[bold]{escape(entry['agent'])}[/] [dim]{escape(entry['phase'])}{again}[/]"
    console.print(f"{heading} {escape(text)}", highlight=False)
