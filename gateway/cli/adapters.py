"""`caravan adapters`: what was learnt, what is in use, and what each one's passport says."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import typer

from domain.lora_adapter import alias_in_use, alias_of
from gateway.cli.client import Api, ApiError, Json, Unavailable, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, complain, console, plain_errors, show, show_pages
from gateway.cli.progress import progress_bar
from gateway.cli.training import must_have_completed, wait_for_training
from gateway.settings import Settings

app = typer.Typer()
adapters = typer.Typer(no_args_is_help=True, help="LoRA adapters.")
app.add_typer(adapters, name="adapters")

COLUMNS = ("name", "state", "in_use", "registered_at", "reason")
Why = Annotated[str, typer.Option("--reason", help="Why; it stays in the history.")]
COMPARED_SECONDS = 60.0
"""For an adapter to be in the read models once its training is."""


@adapters.command("list")
def list_adapters(as_json: AsJson = False) -> None:
    """List the adapters."""
    show_pages("/v1/adapters", as_json, COLUMNS)


@adapters.command("show")
def show_adapter(name: str, as_json: AsJson = False) -> None:
    """Show an adapter's passport: what made it, what it is worth and what became of it. `team@production` is the one in
    use."""
    with plain_errors():
        api, address = open_api(Settings()), f"{_address(name)}/passport"
        if as_json:
            show(api.get(address), as_json)
        else:
            text = api.send("GET", address, headers={"Accept": "text/markdown"}).text
            typer.echo(text, nl=False)


@adapters.command("promote")
def promote(
    name: str,
    reason: Why,
    evaluation: Annotated[UUID | None, typer.Option(help="The evaluation that speaks for it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put an adapter to use: from the next run on, its alias means it."""
    body: Json = {"reason": reason, "evaluation": str(evaluation) if evaluation else None}
    with plain_errors():
        api = open_api(Settings())
        written = api.post(f"{_address(name)}/promote", body)
    show(written if as_json else f"{name} is in use from the next run on", as_json)
    for reason in _refusals(api, name):
        complain(f"no run can use it as long as a model server refuses it: {reason}")


def _refusals(api: Api, name: str) -> list[str]:
    """Why model servers do not serve that adapter, as far as anybody knows."""
    with suppress(ApiError):  # it is promoted, whether that can be told or not
        replicas = api.get("/v1/serving")["replicas"]
        return [one["refused"][name] for one in replicas if name in one["refused"]]
    return []


@adapters.command("rollback")
def roll_back(
    name: Annotated[str, typer.Argument(help="An alias; or the adapter that you believe in use, e.g. team@2.")],
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Take the adapter in use out of use: its alias means again what it meant before.

    With an adapter's name nothing is done where another one is in use by now.
    """
    alias = alias_of(name)
    believed = {} if name == alias or alias_in_use(name) else {"adapter": name}
    with plain_errors():
        api = open_api(Settings())
        written = api.post(f"{_address(alias)}/rollback", {"reason": reason, **believed})
        told = None if as_json else _rolled_back(api, alias, written)
    show(told or written, as_json)


@adapters.command("reproduce")
def reproduce(
    name: str,
    anyway: Annotated[bool, typer.Option("--anyway", help="With other code than made it, too.")] = False,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Train an adapter again, from the same data, base, configuration and seed, and compare the weights.

    Exit code 1 where they differ.
    """
    with plain_errors():
        api = open_api(Settings())
        written = api.post(f"{_address(name)}/reproduce", {"anyway": anyway})
        run = api.get(f"/v1/training-runs/{written['id']}", after=written["position"])
        if wait:
            with progress_bar() as bar:
                run = wait_for_training(api, written["id"], bar)
            must_have_completed(run)
            run = patiently(
                lambda: _compared(api.get(f"{_address(name)}/passport"), written["id"]),
                COMPARED_SECONDS,
                "the comparison",
            )
    show(run, as_json)
    if not wait:
        return
    if not as_json:
        console.print(_said(name, run), markup=False)
    if not run["same"]:
        raise typer.Exit(1)


@adapters.command("retire")
def retire(name: str, reason: str = "", as_json: AsJson = False) -> None:
    """Take an adapter out of use for good."""
    with plain_errors():
        written = open_api(Settings()).post(f"{_address(name)}/retire", {"reason": reason})
    show(written if as_json else f"{name} is retired", as_json)


def _rolled_back(api: Api, alias: str, written: Json) -> str | None:
    """What the alias means after that; None while the read models are behind: the rollback is recorded either way."""
    try:
        known = list(api.pages("/v1/adapters", alias=alias, after=written["position"]))
    except Unavailable:
        return None
    gone = next((one["name"] for one in known if one["adapter_id"] == written["id"]), None)
    now = next((one["name"] for one in known if one["in_use"]), "the base model")
    return gone and f"{gone} is out of use; {alias} means {now} from the next run on"


def _compared(passport: Json, run: str) -> Json | None:
    """What came of that training; None until it is told."""
    return next((one for one in passport["reproductions"] if one["run_id"] == run and one["same"] is not None), None)


def _said(name: str, again: Json) -> str:
    if again["same"]:
        return f"{again['adapter']} has the same weights as {name}, bit for bit"
    why = "; ".join(again["differs"]) or "its passport says of nothing else that differs"
    return f"{again['adapter']} has other weights than {name}: {why}"


def _address(adapter: str) -> str:
    return f"/v1/adapters/{quote(adapter, safe='')}"
