"""The command line: the same verbs as the API, and one subcommand for each process."""

from __future__ import annotations

import os

import typer

from gateway.cli.commands import Commands

app = typer.Typer(
    cls=Commands,
    name="caravan",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def caravan() -> None:
    """A self-improving team of agents, with every step in an event store."""
    from gateway.settings import misspelt

    for name, setting in misspelt(os.environ):
        typer.secho(f"{name} is no setting: do you mean {setting}?", fg="yellow", err=True)
