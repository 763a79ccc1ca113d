"""`caravan agents`: who the agents are, and who changed them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import click
import typer

from domain.text import from_utf8
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.output import AsJson, console, errors, plain_errors, show, show_pages
from gateway.settings import Settings

app = typer.Typer()
agents = typer.Typer(no_args_is_help=True, help="The agents' configuration, agents.yaml.")
app.add_typer(agents, name="agents")

YAML = "application/yaml"
REVISION = ("revision", "author", "recorded_at", "reason")
ReadableFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.", prompt=True)]
TEXTS = {
    "role",
    "system_message",
    "adapter",
    "ballot",
    "cache",
    "model.platform",
    "model.name",
    "model.url",
    "model.key_env",
}
"""Fields whose value is taken as it is; the others' are JSON, e.g. 0.7 or []."""


@agents.command("show")
def show_agents(revision: int | None = None) -> None:
    """Print agents.yaml as it is now, or as it was in a revision."""
    path = "/v1/agents" if revision is None else f"/v1/agents/revisions/{revision}"
    with plain_errors():
        text = open_api(Settings()).send("GET", path, headers={"Accept": YAML}).content
    typer.echo(text, nl=False)


@agents.command("revisions")
def list_revisions(as_json: AsJson = False) -> None:
    """List every agents.yaml there was, the newest first."""
    show_pages("/v1/agents/revisions", as_json, REVISION)


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
    from gateway.bootstrap import agents_format  # which imports what the gateway is made of

    with plain_errors():
        names = [agent.name for agent in agents_format(Settings()).parse(from_utf8(file.read_bytes()))]
    console.print(f"{len(names)} agents: {', '.join(names)}")


@agents.command("apply")
def apply_agents(file: ReadableFile, reason: Why) -> None:
    """Make this file the next revision of agents.yaml, unless it is the same."""
    with plain_errors():
        api = open_api(Settings())
        _, tag = _current(api)
        _put(api, file.read_bytes(), tag, reason)


@agents.command("edit")
def edit_agents(reason: Why) -> None:
    """Edit agents.yaml in $VISUAL or $EDITOR, and make it the next revision."""
    with plain_errors():
        api = open_api(Settings())
        before, tag = _current(api)
        handle, name = tempfile.mkstemp(prefix="agents-", suffix=".yaml")
        os.close(handle)
        draft = Path(name)
        draft.write_bytes(before)
        try:
            click.edit(filename=str(draft))
            if draft.read_bytes() == before:
                console.print("nothing was changed")
            else:
                _put(api, draft.read_bytes(), tag, reason)
        except BaseException:
            errors.print(f"your text is kept in {draft}: mend it, then `caravan agents apply {draft}`", highlight=False)
            raise
        draft.unlink()


@agents.command("set")
def set_field(
    name: str,
    field: Annotated[str, typer.Argument(help="E.g. system_message, adapter or model.temperature.")],
    value: Annotated[
        str | None, typer.Argument(help="`-` reads standard input; without a value, it is taken away.")
    ] = None,
    *,
    reason: Why,
) -> None:
    """Change one setting of an agent, and no other byte of the file."""
    with plain_errors():
        if value == "-":
            value = from_utf8(typer.get_binary_stream("stdin").read())
        outer, _, inner = field.partition(".")
        changes: Json = {outer: {inner: _value(field, value)}} if inner else {outer: _value(field, value)}
        _edit("PATCH", name, reason, json=changes)


@agents.command("delete")
def delete_agent(name: str, reason: Why) -> None:
    """Take an agent out of agents.yaml; runs that have begun keep it."""
    with plain_errors():
        _edit("DELETE", name, reason)


@agents.command("diff")
def diff_revisions(
    revision: Annotated[int | None, typer.Argument(help="The current one by default.")] = None,
    against: Annotated[int | None, typer.Option(help="Another revision; the one before by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a revision of agents.yaml changed, as `diff -u` would; or, as JSON, agent by agent too."""
    with plain_errors():
        api = open_api(Settings())
        number = revision or int(_current(api)[1].strip('"'))
        path, query = f"/v1/agents/revisions/{number}/diff", {} if against is None else {"against": against}
        accept = "application/json" if as_json else "text/x-diff"
        answer = api.send("GET", path, params=query, headers={"Accept": accept})
    if as_json:
        show(answer.json(), as_json)
    else:
        typer.echo(answer.content, nl=False)


@agents.command("restore")
def restore_revision(revision: int, reason: Why) -> None:
    """Put an old agents.yaml to use again, as a new revision."""
    with plain_errors():
        api = open_api(Settings())
        _, tag = _current(api)
        path = f"/v1/agents/revisions/{revision}/restore"
        written = api.command("POST", path, {"If-Match": tag}, json={"reason": reason})
    console.print(f"revision {written['version']}")


def _current(api: Api) -> tuple[bytes, str]:
    """The file as it is, and its tag."""
    answer = api.send("GET", "/v1/agents", headers={"Accept": YAML})
    return answer.content, answer.headers["ETag"]


def _put(api: Api, text: bytes, tag: str, reason: str) -> None:
    written = api.put("/v1/agents", text, {"Content-Type": YAML, "If-Match": tag}, reason=reason)
    console.print(f"revision {written['version']}")


def _edit(method: str, name: str, reason: str, **body: Any) -> None:
    api = open_api(Settings())
    _, tag = _current(api)
    path = f"/v1/agents/{quote(name, safe='')}"
    written = api.command(method, path, {"If-Match": tag}, params={"reason": reason}, **body)
    console.print(f"revision {written['version']}")


def _value(field: str, value: str | None) -> object:
    if value is None or field in TEXTS:
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ApiError(f"{field} wants a number, or JSON; {value} is neither") from error
