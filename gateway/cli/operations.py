"""`caravan status`: looking after a Caravan."""

from __future__ import annotations

import typer

from adapters.embedded import record
from gateway.cli.client import ApiError
from gateway.cli.output import AsJson, plain_errors, show
from gateway.settings import Settings

app = typer.Typer()


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
