"""`caravan preferences`, `annotate`, `withdraw`, `dataset` and `adapters`: what is learnt from, and what was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

import typer
from rich.markup import escape

from domain.preference import Verdict
from gateway.cli.client import Api, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, console, errors, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()
dataset = typer.Typer(no_args_is_help=True, help="Preference datasets, as of any position.")
adapters = typer.Typer(no_args_is_help=True, help="LoRA adapters.")
app.add_typer(dataset, name="dataset")
app.add_typer(adapters, name="adapters")

DATASET = ("dataset_id", "state", "pairs", "annotated", "as_of", "sha256")
ADAPTER = ("name", "state", "in_use", "registered_at", "reason")


@app.command()
def preferences(
    state: Literal["waiting", "settled", "rejected", "withdrawn", "all"] = "waiting", as_json: AsJson = False
) -> None:
    """List preference pairs, by default those that wait for an opinion."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/preferences", state=None if state == "all" else state))
    if as_json:
        show(found, as_json)
    else:
        for pair in found:
            _show_pair(pair)


@app.command()
def annotate(
    preference: UUID,
    verdict: Verdict,
    note: str = "",
    chosen: Annotated[str | None, typer.Option(help="The better answer, for an edit.")] = None,
    rejected: Annotated[str | None, typer.Option(help="The worse answer, for an edit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what you think of a pair. Every opinion is kept; the latest counts."""
    body: dict[str, Any] = {"verdict": verdict.value, "note": note}
    if verdict is Verdict.EDITED:
        if chosen is None:
            raise typer.BadParameter("an edit needs --chosen, and may have --rejected")
        body |= {"chosen": chosen, "rejected": rejected}
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/preferences/{preference}/annotations", body)
    show(written, as_json)


@app.command()
def withdraw(preference: UUID, reason: str = "", as_json: AsJson = False) -> None:
    """Take a pair out of every later dataset. Nothing is erased."""
    with plain_errors():
        written = open_api(Settings()).delete(f"/v1/preferences/{preference}", reason=reason)
    show(written, as_json)


@dataset.command("build")
def build(
    position: Annotated[int | None, typer.Option(help="As of this position; now by default.")] = None,
    min_weight: float = 0.0,
    annotated_only: bool = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Also save the JSON Lines here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a dataset from the preferences, in TRL's columns."""
    with plain_errors():
        api = open_api(Settings())
        built = build_dataset(api, position=position, min_weight=min_weight, annotated_only=annotated_only)
        if output:
            output.write_bytes(api.send("GET", f"/v1/datasets/{built['dataset_id']}/download").content)
    show(built, as_json)
    if not built["pairs"]:
        errors.print("[yellow]it holds no pair: loosen the filter, or make some with `caravan run`[/]")


@dataset.command("list")
def datasets(as_json: AsJson = False) -> None:
    """List the datasets."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/datasets"))
    show(found, as_json, DATASET)


@adapters.command("list")
def list_adapters(as_json: AsJson = False) -> None:
    """List the adapters."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/adapters"))
    show(found, as_json, ADAPTER)


@adapters.command("show")
def show_adapter(name: str, as_json: AsJson = False) -> None:
    """Show an adapter's passport: the exact data, base model, configuration and seed that made it."""
    with plain_errors():
        found = open_api(Settings()).get(_address(name))
    show(found, as_json)


@adapters.command("promote")
def promote(name: str, reason: str = "", as_json: AsJson = False) -> None:
    """Put an adapter to use: from the next run on, its alias means it."""
    with plain_errors():
        written = open_api(Settings()).post(f"{_address(name)}/promote", {"reason": reason})
    show(written if as_json else f"{name} is in use from the next run on", as_json)


@adapters.command("retire")
def retire(name: str, reason: str = "", as_json: AsJson = False) -> None:
    """Take an adapter out of use for good."""
    with plain_errors():
        written = open_api(Settings()).post(f"{_address(name)}/retire", {"reason": reason})
    show(written if as_json else f"{name} is retired", as_json)


def _address(adapter: str) -> str:
    return f"/v1/adapters/{quote(adapter, safe='')}"


def _show_pair(pair: Json) -> None:
    verdict = pair["verdict"] or f"waiting, P = {pair['probability']:.2f}"
    console.print(f"[bold]{pair['preference_id']}[/] [dim]{verdict}[/]", highlight=False)
    for name, messages in (("prompt", pair["prompt"]), ("chosen", pair["chosen"]), ("rejected", pair["rejected"])):
        text = "\n".join(message["content"] for message in messages)
        console.print(f"[dim]{name:>8}[/] {escape(text)}", highlight=False)
    console.print()


def build_dataset(api: Api, position: int | None = None, min_weight: float = 0.0, annotated_only: bool = False) -> Json:
    """Asks for a dataset and waits until it is built."""
    filter = {"min_weight": min_weight, "annotated_only": annotated_only}
    written = api.post("/v1/datasets", {"position": position, "filter": filter})

    def built() -> Json | None:
        found = api.get(f"/v1/datasets/{written['id']}", after=written["position"])
        return found if found["sha256"] else None

    return patiently(built, seconds=300, what="the dataset")
