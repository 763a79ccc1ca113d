"""`caravan annotations`: what you are asked next, by which rubric, and how far annotators and judges agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import typer
from rich.markup import escape

from gateway.cli.client import Json, open_api
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.cli.pairs import AsProposed, Person, show_pair
from gateway.settings import Settings

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="The queue of annotators, and how far they agree.")
app.add_typer(group, name="annotations")

QUEUED = ("preference_id", "state", "judged", "wanted", "why", "prompt")
AGREEMENT = ("of", "annotators", "pairs", "unanimous", "alpha")
JUDGE = ("judge", "method", "pairs", "agreed", "kappa")
Run = Annotated[UUID | None, typer.Option(help="Only pairs of this run.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it stays in the history.")]


@group.command("queue")
def show_queue(run: Run = None, limit: int = 20, as_json: AsJson = False) -> None:
    """List what you are asked to judge, the most urgent first, and why."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/annotations/queue", run=run, limit=limit)
    if as_json:
        show(found, True)
        return
    rows = [
        each | {"why": "; ".join(each["reasons"]), "prompt": each["prompt"][-1]["content"]} for each in found["items"]
    ]
    show(rows, False, QUEUED)
    if found["count"] > len(rows):
        console.print(f"[dim]{len(rows)} of {found['count']}[/]")


@group.command("next")
def show_next(run: Run = None, as_proposed: AsProposed = False, as_json: AsJson = False) -> None:
    """Show the first pair of your queue, its answers left and right by lot, as `caravan annotate` takes them.

    With --json it is as it was proposed.
    """
    with plain_errors():
        api = open_api(Settings())
        found = api.get("/v1/annotations/queue", run=run, limit=1)["items"]
        asked = found[0] if found else None
        if asked and not as_json:
            pair = api.get(_address(asked["preference_id"]))
            show_pair(pair, None if as_proposed else Person.at(api))
    if as_json:
        show(asked, True)
    elif asked:
        console.print(escape("; ".join(asked["reasons"])), highlight=False)
    else:
        console.print("[dim]nothing waits for you[/]")


@group.command("skip")
def skip(preference: UUID, reason: Why = "", as_json: AsJson = False) -> None:
    """Leave a pair to others: you are not asked about it again."""
    _act("POST", f"{_address(preference)}/skip", as_json, json={"reason": reason})


@group.command("undo")
def undo(preference: UUID, reason: Why = "", as_json: AsJson = False) -> None:
    """Take back your latest opinion on a pair; what you said before it counts again. Nothing is erased."""
    _act("POST", f"{_address(preference)}/undo", as_json, json={"reason": reason})


@group.command("note")
def note(preference: UUID, text: str, as_json: AsJson = False) -> None:
    """Write a note to a pair, without a verdict."""
    _act("POST", f"{_address(preference)}/notes", as_json, json={"note": text})


@group.command("assign")
def assign(preference: UUID, annotator: str, as_json: AsJson = False) -> None:
    """Put a pair first in somebody's queue: the name of their token."""
    _act("PUT", f"{_address(preference)}/assignees/{quote(annotator, safe='')}", as_json)


@group.command("unassign")
def unassign(preference: UUID, annotator: str, as_json: AsJson = False) -> None:
    """Let it be one among others in their queue."""
    _act("DELETE", f"{_address(preference)}/assignees/{quote(annotator, safe='')}", as_json)


@group.command("agreement")
def show_agreement(
    as_of: Annotated[int | None, typer.Option(help="As it was at that position of the log.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only opinions given then or later, e.g. 2026-11-02T00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only opinions given before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far people agree (Krippendorff's alpha), and each judge with most of them (Cohen's kappa)."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/annotations/agreement", as_of=as_of, since=since, until=until)
    if as_json:
        show(found, True)
        return
    criteria = [each | {"of": f"{each['criterion']} (rubric {each['rubric']})"} for each in found["criteria"]]
    show([_rounded(each, "alpha") for each in ({"of": "verdicts"} | found["overall"], *criteria)], False, AGREEMENT)
    show([_rounded(each, "kappa") for each in found["judges"]], False, JUDGE)
    if any(each["kappa"] is None for each in found["judges"]):
        console.print(
            "[dim]without kappa: the judge and people chose the same each time, as chance would have it too[/]"
        )


@group.command("rubric")
def show_rubric(
    publish: Annotated[
        Path | None,
        typer.Option(help="Publish this JSON file: criteria with name, question, levels and compares; annotators."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show by what people judge, and how many of them a pair wants; or publish another version."""
    with plain_errors():
        api = open_api(Settings())
        published = api.command("PUT", "/v1/annotations/rubric", json=_read(publish)) if publish else {}
        found = api.get("/v1/annotations/rubric", after=published.get("position"))
    if as_json:
        show(found, True)
        return
    console.print(f"version {found['version']}; annotators a pair: {found['annotators']}", highlight=False)
    levels = [each | {"levels": " < ".join(each["levels"])} for each in found["criteria"]]
    show(levels, False, ("name", "question", "levels", "compares"))


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from error


def _act(method: str, path: str, as_json: bool, **request: Any) -> None:
    with plain_errors():
        written = open_api(Settings()).command(method, path, **request)
    show(written, as_json)


def _address(preference: UUID | str) -> str:
    return f"/v1/preferences/{preference}"


def _rounded(row: Json, name: str) -> Json:
    return row | {name: None if row[name] is None else f"{row[name]:.3f}"}
