"""`caravan pause`, `resume`, `retry`, `stop`, `fork` and `diff`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from gateway.cli.client import Json, open_api
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.cli.runs import BudgetSteps, BudgetTokens, StepTimeLimit, TimeLimit, limits_of, said
from gateway.settings import Settings

app = typer.Typer()


@app.command()
def pause(run: UUID, reason: str = "paused from the command line", as_json: AsJson = False) -> None:
    """Let a run begin nothing new; the model calls under way end and are kept."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/workflows/{run}/pause", {"reason": reason})
    show(written, as_json)


@app.command()
def resume(run: UUID, as_json: AsJson = False) -> None:
    """Let a paused run go on."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/workflows/{run}/resume")
    show(written, as_json)


@app.command()
def retry(
    run: UUID,
    budget_tokens: BudgetTokens = None,
    budget_steps: BudgetSteps = None,
    time_limit: TimeLimit = None,
    step_time_limit: StepTimeLimit = None,
    reason: str = "retried from the command line",
    as_json: AsJson = False,
) -> None:
    """Take up a run that failed or reached a limit. What is recorded is kept; limits, where given, replace all."""
    limits = limits_of(budget_tokens, budget_steps, time_limit, step_time_limit)
    with plain_errors():
        body = {"reason": reason, "limits": limits or None}
        written = open_api(Settings()).post(f"/v1/workflows/{run}/retry", body)
    show(written, as_json)


@app.command()
def fork(
    run: UUID,
    step: Annotated[UUID | None, typer.Option(help="The last step that both runs share; left out: none.")] = None,
    agent: Annotated[str | None, typer.Option(help="Whose part is changed.")] = None,
    becomes: Annotated[
        str | None, typer.Option(help="Another agent, of agents.yaml as it is now, in its place.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Another system message.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Another adapter, e.g. team@2, or `base`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start a run that begins with what another one has recorded, and goes on with a change."""
    asked = {"becomes": becomes, "system_message": prompt, "adapter": adapter}
    change: Json = {name: value for name, value in asked.items() if value is not None}
    if change and agent is None:
        raise typer.BadParameter("say with --agent whose part is changed")
    if change.get("adapter") == "base":
        change["adapter"] = None
    body = {"step": step and str(step), "changes": [{"agent": agent, **change}] if change else []}
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/workflows/{run}/fork", body)
    show(written, as_json)


@app.command()
def diff(
    run: UUID,
    against: Annotated[UUID | None, typer.Argument(help="Left out: the run that it was forked from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show two runs side by side: what each said beside the steps that they share."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/workflows/{run}/diff", against=against)
    if as_json:
        show(found, as_json)
        return
    console.print(f"{found['shared']} steps are shared", highlight=False)
    for item in found["items"]:
        _compare(item)


@app.command()
def stop(run: UUID, reason: str = "stopped from the command line", as_json: AsJson = False) -> None:
    """Stop a run."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/workflows/{run}/stop", {"reason": reason})
    show(written, as_json)


def _compare(item: Json) -> None:
    for side, entry in (("mine", item["mine"]), ("theirs", item["theirs"])):
        if entry is None:
            console.print(f"[bold]{side}[/] [dim]nothing[/]", highlight=False)
            continue
        told = f"{escape(entry['agent'])} [dim]{escape(entry['phase'])} {entry['n']}[/] {escape(said(entry))}"
        console.print(f"[bold]{side}[/] {told}", highlight=False)
