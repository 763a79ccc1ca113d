"""The command line: the same verbs as the API, and one subcommand for each process."""

from __future__ import annotations

import typer

from gateway.cli import (
    audit,
    demo,
    doctor,
    events,
    learning,
    operations,
    processes,
    projections,
    runs,
    tokens,
    training,
    up,
)

app = typer.Typer(
    name="caravan",
    help="A self-improving team of agents, with every step in an event store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (demo, up, doctor, runs, learning, training, tokens, operations, events, audit, projections, processes):
    app.add_typer(module.app)
