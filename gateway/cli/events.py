"""`caravan events`: everything that happened, and what led to what."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.events import ActorKind
from gateway.cli.client import Json, open_api
from gateway.cli.output import AsJson, console, errors, plain_errors, show, show_answer
from gateway.settings import Settings

app = typer.Typer()
events = typer.Typer(help="The raw events: who did what with which, and what led to what.")
app.add_typer(events, name="events")

COLUMNS = ("position", "time", "type", "subject", "actor")
STEP = ("depth", "position", "time", "type", "subject", "actor")
Event = Annotated[str, typer.Argument(help="Its position, or its id.")]


@events.callback(invoke_without_command=True)
def list_events(
    context: typer.Context,
    type: Annotated[list[str] | None, typer.Option(help="E.g. workflow, or workflow.failed; may be repeated.")] = None,
    aggregate: str | None = None,
    agent: Annotated[str | None, typer.Option(help="Whose steps and ballots.")] = None,
    tool: str | None = None,
    model: str | None = None,
    adapter: Annotated[str | None, typer.Option(help="E.g. team@1.")] = None,
    revision: Annotated[int | None, typer.Option(help="That of agents.yaml to which runs were pinned.")] = None,
    actor: Annotated[str | None, typer.Option(help="A token's name, an agent or a process.")] = None,
    kind: Annotated[ActorKind | None, typer.Option(help="Of the actor.")] = None,
    run: Annotated[str | None, typer.Option(help="A run, and the pairs proposed from it.")] = None,
    correlation: Annotated[str | None, typer.Option(help="All that followed from one request.")] = None,
    since: Annotated[str | None, typer.Option(help="Recorded then or later, e.g. 2026-11-17T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Recorded before that.")] = None,
    after: Annotated[int | None, typer.Option(help="Only what lies after this position.")] = None,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """Show events: the newest, or with --after the ones that follow a position."""
    if context.invoked_subcommand:
        return
    query: Json = {"type": type, "aggregate": aggregate, "agent": agent, "tool": tool, "model": model}
    query |= {"adapter": adapter, "revision": revision, "actor": actor, "kind": kind and kind.value, "run": run}
    query |= {"correlation": correlation, "since": since, "until": until}
    query |= {"from": after, "limit": limit, "order": "newest" if after is None else "oldest"}
    with plain_errors():
        found = open_api(Settings()).get("/v1/events", **query)["items"]
    using = [name for name in ("tools", "model", "adapter", "promptrevision") if any(name in event for event in found)]
    show(sorted(found, key=lambda event: event["position"]), as_json, (*COLUMNS, *using))


@events.command("show")
def show_event(event: Event, as_json: AsJson = False) -> None:
    """Show one event, with its data."""
    show_answer(f"/v1/events/{event}", as_json)


@events.command("causes")
def list_causes(event: Event, as_json: AsJson = False) -> None:
    """Say what led to an event, back to the command with which it began."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/events/{event}/causes")
    if as_json:
        show(found, as_json)
        return
    show([_step(step) for step in found["items"]], as_json, STEP)
    if root := found["began_with"]:
        console.print(f"it began with a command of {root['actor']} ({root['actor_kind']})", markup=False)


@events.command("effects")
def list_effects(event: Event, limit: int = 50, as_json: AsJson = False) -> None:
    """Say what an event led to, directly or by way of others."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/events/{event}/effects", limit=limit)
    if as_json:
        show(found, as_json)
        return
    show([_step(step) for step in found["items"]], as_json, STEP)
    if found["next"]:
        errors.print("[yellow]there are more; --limit shows up to 200, --json the cursor of the next page[/]")
    if found["cut"]:
        errors.print("[yellow]only the nearest ones were looked for; `caravan events --correlation` lists all[/]")


def _step(step: Json) -> Json:
    event: Json = step["event"]
    return {"depth": step["depth"], **event}
