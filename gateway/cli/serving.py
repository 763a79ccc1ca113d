"""`caravan serving`: whether model servers serve what the registry says."""

from __future__ import annotations

import typer

from gateway.cli.client import Json, open_api
from gateway.cli.output import AsJson, complain, console, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()

COLUMNS = ("replica", "kind", "state", "since", "wanted", "served")


@app.command()
def serving(as_json: AsJson = False) -> None:
    """Say which adapters each model server serves, and what keeps it from serving the others.

    Exit code 1 where one is not in step.
    """
    with plain_errors():
        found = open_api(Settings()).get("/v1/serving")
    if as_json:
        show(found, as_json)
    else:
        _tell(found)
    if not found["looked_after"] or any(one["state"] != "in_step" for one in found["replicas"]):
        raise typer.Exit(1)


def _tell(found: Json) -> None:
    if not found["looked_after"]:
        console.print("nobody looks after model servers: is a worker up?")
        return
    show([one | {name: len(one[name]) for name in ("wanted", "served")} for one in found["replicas"]], False, COLUMNS)
    for one in found["replicas"]:
        for reason in filter(None, (one["error"], *one["refused"].values())):
            complain(reason)
