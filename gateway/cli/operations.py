"""`caravan status` and `agents`: looking after a Caravan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from adapters.agents_yaml import AgentsYaml
from adapters.embedded import record
from gateway.cli.client import ApiError, open_api
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()
agents = typer.Typer(no_args_is_help=True, help="The agents' configuration, agents.yaml.")
app.add_typer(agents, name="agents")

YAML = "application/yaml"
REVISION = ("revision", "author", "recorded_at", "reason")
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


@agents.command("show")
def show_agents(revision: int | None = None) -> None:
    """Print agents.yaml as it is now, or as it was in a revision."""
    path = "/v1/agents" if revision is None else f"/v1/agents/revisions/{revision}"
    with plain_errors():
        text = open_api(Settings()).send("GET", path, headers={"Accept": YAML}).text
    typer.echo(text, nl=False)


@agents.command("revisions")
def list_revisions(as_json: AsJson = False) -> None:
    """List every agents.yaml there was, the newest first."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/agents/revisions"))
    show(found, as_json, REVISION)


@agents.command("history")
def show_history(name: str, as_json: AsJson = False) -> None:
    """Say who changed an agent, when and why, and what became of its system message; the newest first."""
    with plain_errors():
        found = list(open_api(Settings()).pages(f"/v1/agents/{quote(name, safe='')}/history"))
    if as_json:
        show(found, as_json)
        return
    for change in found:
        console.print(" ".join(f"{change[column]}" for column in REVISION), style="bold", markup=False)
        console.print(change["prompt_diff"] or f"changed: {', '.join(change['changed'])}", markup=False)


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
        headers = {"Content-Type": YAML, "If-Match": tag}
        written = api.put("/v1/agents", file.read_bytes(), headers, reason=reason)
    console.print(f"revision {written['version']}")
