"""`caravan leaderboard`, `judges` and `rankings compare`: what the ballots say of agents and judges."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

import typer

from gateway.cli.client import Json, open_api
from gateway.cli.output import AsJson, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()
rankings = typer.Typer(no_args_is_help=True, help="Rankings: what old ballots say by another method.")
app.add_typer(rankings, name="rankings")

Since = Annotated[str | None, typer.Option(help="Only ballots of this day (UTC) and later ones, e.g. 2026-11-02.")]
Until = Annotated[str | None, typer.Option(help="Only ballots of days (UTC) before this one.")]

STANDING = ("place", "agent", "strength", "interval", "won", "lost", "tied")
WINDOW = ("since", "until", "ballots", "agents")
JUDGE = (
    *("judge", "method", "ballots", "unparseable", "tie"),
    *("discrimination", "position_bias", "self_preference", "agreement"),
)
CHANGE = ("run_id", "change", "chosen", "rejected", "probability", "probability_against")


@app.command()
def leaderboard(
    method: str = "bradley-terry/2",
    since: Since = None,
    until: Until = None,
    every: Annotated[str | None, typer.Option(help="Over time instead: by day, week or month.")] = None,
    cumulative: Annotated[bool, typer.Option("--cumulative", help="With --every: each with all before it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how strong the agents are, by the ballots of all runs."""
    if every and (since or until):
        raise typer.BadParameter("--every shows all time; leave --since and --until out")
    if cumulative and not every:
        raise typer.BadParameter("--cumulative needs --every")
    with plain_errors():
        api = open_api(Settings())
        if every:
            query = {"every": every, "cumulative": cumulative, "method": method}
            windows = api.get("/v1/leaderboard/history", **query)["items"]
            show(windows if as_json else [_window(each) for each in windows], as_json, WINDOW)
            return
        found = api.get("/v1/leaderboard", method=method, since=since, until=until)
    if as_json:
        show(found, True)
        return
    checks = list(found["items"][0]["places"]) if found["items"] else []
    rows = [
        each | {"strength": each["strength"]["value"], "interval": _interval(each["strength"]), **each["places"]}
        for each in found["items"]
    ]
    show(rows, False, (*STANDING, *checks))


@app.command()
def judges(since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Show how well each judge tells answers apart, and what sways it."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/judges", since=since, until=until)["items"]
    estimates = ("discrimination", "position_bias", "self_preference")
    rows = [each | {name: each[name] and _estimated(each[name]) for name in estimates} for each in found]
    show(found if as_json else rows, as_json, JUDGE)


@rankings.command("compare")
def compare_rankings(
    method: Annotated[str, typer.Option(help="A ranking, e.g. bradley-terry/1.")],
    against: Annotated[str, typer.Option(help="The one to compare it with.")] = "bradley-terry/2",
    run: Annotated[UUID | None, typer.Option(help="Of this run alone.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="How many runs at most, the newest.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show which pairs old ballots would make otherwise by another method. Nothing is proposed."""
    totals: Counter[str] = Counter(runs=0, same=0, new=0, gone=0, flipped=0)
    changes: list[dict[str, Any]] = []
    with plain_errors():
        query = {"method": method, "against": against, "run": run, "limit": min(runs, 100)}
        for found in islice(open_api(Settings()).pages("/v1/rankings/compare", **query), runs):
            totals["runs" if found["compared"] else "not compared"] += 1
            totals["same"] += found["same"]
            totals.update(pair["change"] for pair in found["pairs"])
            changes += [{"run_id": found["run_id"], **_changed(pair)} for pair in found["pairs"]]
    if as_json:
        show({"totals": totals, "changes": changes}, True)
        return
    if changes:
        show(changes, False, CHANGE)
    show(totals, False)


def _changed(pair: Json) -> dict[str, Any]:
    ours, theirs = pair["ours"], pair["theirs"]
    told = ours or theirs
    return {
        "change": pair["change"],
        "chosen": told["chosen"],
        "rejected": told["rejected"],
        "probability": ours and ours["probability"],
        "probability_against": theirs and theirs["probability"],
    }


def _window(window: Json) -> dict[str, Any]:
    agents = ", ".join(f"{each['agent']} {each['strength']['value']:+.2f}" for each in window["agents"])
    return window | {"agents": agents}


def _estimated(estimate: Json) -> str:
    return f"{estimate['value']:+.2f} ({_interval(estimate)})"


def _interval(estimate: Json) -> str:
    return "" if estimate["low"] is None else f"{estimate['low']:+.2f} to {estimate['high']:+.2f}"
