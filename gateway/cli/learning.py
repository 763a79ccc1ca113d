"""`caravan preferences`, `lineage`, `annotate` and `withdraw`: what is learnt from."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Literal
from uuid import UUID

import typer
from rich.markup import escape

from domain.preference import Verdict
from gateway.cli.client import Api, Json, Unavailable, open_api
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()

LINEAGE = {
    "run": ("run_id", "kind", "actor", "roster_revision"),
    "answers": ("step_id", "agent", "phase", "n", "model", "adapter"),
    "ballots": ("ballot_id", "judge", "method", "outcome", "margin"),
    "people": ("actor", "actor_kind", "did"),
    "datasets": ("dataset_id", "part", "as_of", "sha256"),
    "trainings": ("run_id", "state", "dataset_id", "adapter_name"),
    "adapters": ("name", "state", "in_use"),
}


@app.command()
def preferences(
    state: Literal["waiting", "imported", "disputed", "settled", "rejected", "withdrawn", "all"] = "waiting",
    import_id: Annotated[UUID | None, typer.Option("--import", help="Only those that it added.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest so many; all by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """List preference pairs, by default those that wait for an opinion."""
    with plain_errors():
        query = {"state": None if state == "all" else state, "import": import_id}
        found = list(islice(open_api(Settings()).pages("/v1/preferences", **query), limit))
    if as_json:
        show(found, as_json)
    else:
        for pair in found:
            show_pair(pair)


@app.command("lineage")
def lineage(preference: UUID, as_json: AsJson = False) -> None:
    """Show where a pair comes from, and which datasets, trainings and adapters it went into."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/preferences/{preference}/lineage")
    if as_json:
        show(found, as_json)
        return
    for name, columns in LINEAGE.items():
        console.print(f"[bold]{name}[/]")
        show([found["run"]] if name == "run" and found["run"] else found[name] or [], as_json, columns)


@app.command()
def annotate(
    preference: UUID,
    verdict: Verdict,
    note: str = "",
    chosen: Annotated[str | None, typer.Option(help="The better answer, for an edit.")] = None,
    rejected: Annotated[str | None, typer.Option(help="The worse answer, for an edit.")] = None,
    rate: Annotated[list[str] | None, typer.Option(help="By the rubric, e.g. clarity=5; for each criterion.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what you think of a pair. Every opinion is kept; of yours the latest counts."""
    body: dict[str, Any] = {"verdict": verdict.value, "note": note, "ratings": ratings_of(rate)}
    if verdict is not Verdict.EDITED and (chosen or rejected):
        raise typer.BadParameter("--chosen and --rejected are an edit's: say `edited`")
    if verdict is Verdict.EDITED:
        if chosen is None:
            raise typer.BadParameter("an edit needs --chosen, and may have --rejected")
        body |= {"chosen": chosen, "rejected": rejected}
    with plain_errors():
        api = open_api(Settings())
        written = api.post(f"/v1/preferences/{preference}/annotations", body)
        show(written | _standing(api, preference, written["position"]), as_json)


def _standing(api: Api, preference: UUID, position: int) -> Json:
    """How the pair stands after that; nothing while the read models are behind: the verdict is recorded either way."""
    try:
        pair = api.get(f"/v1/preferences/{preference}", after=position)
    except Unavailable:
        return {}
    return {"state": pair["state"], "judged": len(pair["spoken_by"]), "wanted": pair["wanted"]}


def ratings_of(given: list[str] | None) -> dict[str, int]:
    """Of `criterion=level` each. Raises BadParameter."""
    found = dict[str, int]()
    for each in given or []:
        criterion, _, level = each.partition("=")
        if not criterion or not level.isdecimal():
            raise typer.BadParameter(f"--rate {each}: write criterion=level, e.g. clarity=5")
        found[criterion] = int(level)
    return found


@app.command()
def withdraw(preference: UUID, reason: str = "", as_json: AsJson = False) -> None:
    """Take a pair out of every later dataset. Nothing is erased."""
    with plain_errors():
        written = open_api(Settings()).delete(f"/v1/preferences/{preference}", reason=reason)
    show(written, as_json)


def show_pair(pair: Json) -> None:
    """Its id, how it stands, and its texts."""
    verdict = pair["verdict"] or f"{pair['state']}, P = {pair['probability']:.2f}"
    console.print(f"[bold]{pair['preference_id']}[/] [dim]{verdict}[/]", highlight=False)
    for name, messages in (("prompt", pair["prompt"]), ("chosen", pair["chosen"]), ("rejected", pair["rejected"])):
        text = "\n".join(message["content"] for message in messages)
        console.print(f"[dim]{name:>8}[/] {escape(text)}", highlight=False)
    console.print()
