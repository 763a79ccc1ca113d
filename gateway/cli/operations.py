"""`caravan status`, `agents`, `events` and `projections`: looking after a Caravan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.agents_yaml import AgentsYaml
from adapters.embedded import record
from gateway.bootstrap import open_core
from gateway.cli.client import ApiError, open_api
from gateway.cli.output import AsJson, console, errors, plain_errors, show
from gateway.settings import Settings
from gateway.stack import located
from projections import ALL
from projections.rebuild import rebuild

app = typer.Typer()
agents = typer.Typer(no_args_is_help=True, help="The agents' configuration, agents.yaml.")
projections = typer.Typer(no_args_is_help=True, help="Read models.")
app.add_typer(agents, name="agents")
app.add_typer(projections, name="projections")

YAML = "application/yaml"
ReadableFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say which processes run here, and what became of them."""
    with plain_errors():
        running = record.read(Settings().home.absolute() / "run")
        if running is None:
            raise ApiError("nothing runs here; start it with `caravan up`")
    rows = [
        {"name": child.name, "state": child.state.value, "pid": child.pid, "port": child.port}
        | {"restarts": child.restarts, "since": child.since.isoformat(timespec="seconds")}
        for child in running.children
    ]
    show(rows, as_json, ("name", "state", "pid", "port", "restarts", "since"))


@app.command()
def events(
    type: Annotated[str | None, typer.Option(help="E.g. workflow, or workflow.failed.")] = None,
    aggregate: str | None = None,
    actor: str | None = None,
    after: Annotated[int | None, typer.Option(help="Only what lies after this position.")] = None,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """Show the raw events: the newest, or with --after the ones that follow a position."""
    order = "newest" if after is None else "oldest"
    query = {"type": type, "aggregate": aggregate, "actor": actor, "from": after, "limit": limit, "order": order}
    with plain_errors():
        found = open_api(Settings()).get("/v1/events", **query)["items"]
    show(sorted(found, key=lambda event: event["position"]), as_json, ("position", "type", "subject", "actor", "time"))


@agents.command("show")
def show_agents(revision: int | None = None) -> None:
    """Print agents.yaml as it is now, or as it was in a revision."""
    path = f"/v1/agents/revisions/{revision}" if revision else "/v1/agents"
    with plain_errors():
        text = open_api(Settings()).send("GET", path, headers={"Accept": YAML}).text
    typer.echo(text, nl=False)


@agents.command("validate")
def validate_agents(file: ReadableFile) -> None:
    """Say what is wrong with a file, without making it a revision."""
    with plain_errors():
        names = [agent.name for agent in AgentsYaml().parse(file.read_text(encoding="utf-8"))]
    console.print(f"{len(names)} agents: {', '.join(names)}")


@agents.command("apply")
def apply_agents(
    file: ReadableFile, reason: Annotated[str, typer.Option(help="Why; it is kept.", prompt=True)]
) -> None:
    """Make this file the next revision of agents.yaml, unless it is the same."""
    with plain_errors():
        api = open_api(Settings())
        tag = api.send("GET", "/v1/agents", headers={"Accept": YAML}).headers["ETag"]
        written = api.send(
            "PUT",
            "/v1/agents",
            params={"reason": reason},
            content=file.read_bytes(),
            headers={"Content-Type": YAML, "If-Match": tag},
        ).json()
    console.print(f"revision {written['version']}")


@projections.command("list")
def list_projections(as_json: AsJson = False) -> None:
    """Say how far each read model is."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/projections")["items"]
    show(found, as_json, ("name", "checkpoint", "lag", "parked"))


@projections.command("rebuild")
def rebuild_projections(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones; all by default.")] = None,
) -> None:
    """Make read models anew from the events. Readers see the old rows until the new ones are complete."""
    known = {projector.name: projector for projector in ALL}
    if unknown := set(names or ()) - set(known):
        raise typer.BadParameter(f"no read model {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
    with (
        plain_errors(),
        open_core(located(Settings())) as core,
        Progress(*columns, TimeRemainingColumn(), console=errors) as bar,
    ):
        for name in names or known:
            rebuild(core.engine, core.store, known[name], on_progress=_shown(bar, name))


def _shown(bar: Progress, name: str) -> Callable[[int, int], None]:
    row = bar.add_task(escape(name))

    def show_progress(done: int, total: int) -> None:
        bar.update(row, completed=done, total=max(total, 1))

    return show_progress
