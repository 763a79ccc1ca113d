"""`caravan batches`: how far many tasks are, and what may be done about them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.client import open_api
from gateway.cli.output import AsJson, plain_errors, show, show_pages
from gateway.cli.progress import progress_bar
from gateway.cli.runs import BudgetSteps, BudgetTokens, StepTimeLimit, TimeLimit, limits_of, wait_for_batch
from gateway.settings import Settings

app = typer.Typer()
batches = typer.Typer(no_args_is_help=True, help="Batches: many tasks, of which so many are worked on at once.")
app.add_typer(batches, name="batches")

COLUMNS = ("batch_id", "name", "state", "tasks", "at_once", "waiting", "running", "completed", "failed", "stopped")


@batches.command("list")
def list_batches(
    state: Annotated[str | None, typer.Option(help="Only these, e.g. running.")] = None, as_json: AsJson = False
) -> None:
    """List the batches, newest first. `caravan run --tasks FILE` starts one."""
    show_pages("/v1/batches", as_json, COLUMNS, state=state)


@batches.command("show")
def show_batch(
    batch: UUID,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay with it until it is over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far a batch is. Its runs: `caravan runs --batch ID`."""
    with plain_errors():
        api = open_api(Settings())
        found = api.get(f"/v1/batches/{batch}")
        if follow:
            with progress_bar() as bar:
                wait_for_batch(api, str(batch), found["tasks"], bar)
            found = api.get(f"/v1/batches/{batch}")
    show(found, as_json)


@batches.command("pause")
def pause_batch(batch: UUID, reason: str = "paused from the command line", as_json: AsJson = False) -> None:
    """Let a batch begin no further run; those that were begun go on."""
    _ask(batch, "pause", {"reason": reason}, as_json)


@batches.command("resume")
def resume_batch(batch: UUID, as_json: AsJson = False) -> None:
    """Let a paused batch go on."""
    _ask(batch, "resume", None, as_json)


@batches.command("retry")
def retry_batch(
    batch: UUID,
    budget_tokens: BudgetTokens = None,
    budget_steps: BudgetSteps = None,
    time_limit: TimeLimit = None,
    step_time_limit: StepTimeLimit = None,
    reason: str = "retried from the command line",
    as_json: AsJson = False,
) -> None:
    """Take up the runs that failed or reached a limit. Limits, where given, replace all."""
    limits = limits_of(budget_tokens, budget_steps, time_limit, step_time_limit)
    _ask(batch, "retry", {"reason": reason, "limits": limits or None}, as_json)


@batches.command("stop")
def stop_batch(batch: UUID, reason: str = "stopped from the command line", as_json: AsJson = False) -> None:
    """End a batch, and its unfinished runs."""
    _ask(batch, "stop", {"reason": reason}, as_json)


def _ask(batch: UUID, verb: str, body: dict[str, object] | None, as_json: bool) -> None:
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/batches/{batch}/{verb}", body)
    show(written, as_json)
