"""`python -m tests.bench [NAME ...]`: runs the benchmarks, prints a table, and writes `.bench/latest.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from loguru import logger
from rich.console import Console
from rich.table import Table

from gateway.running import collect_rarely
from tests.bench import (
    append,
    append_http,
    build_dataset,
    dpo,
    growth,
    load_run,
    project_live,
    project_rebuild,
    rank_ballots,
    read_decode,
    relay,
    viewers,
    visible_latency,
)
from tests.bench.results import Result
from tests.bench.server import server

OUTPUT = Path(".bench/latest.json")
BENCHMARKS: dict[str, Callable[[Callable[[], str]], Iterator[Result]]] = {
    "append": lambda database: append.run(database(), database()),
    "project_live": lambda database: project_live.run(database(), database()),
    "project_rebuild": lambda database: project_rebuild.run(database()),
    "read_decode": lambda database: read_decode.run(database(), database()),
    "load_run": lambda database: load_run.run(database(), database()),
    "append_http": lambda database: append_http.run(database(), database(), database()),
    "relay": lambda database: relay.run(database()),
    "visible_latency": lambda _database: visible_latency.run(),
    "viewers": lambda _database: viewers.run(),
    "growth": lambda database: growth.run(database),
    "rank_ballots": lambda database: rank_ballots.run(database),
    "dpo": lambda _database: dpo.run(),
    "build_dataset": lambda database: build_dataset.run(database),
}
SLOW = ("dpo",)
"""A quarter of an hour, and only where they are named."""


def main() -> None:
    """Runs those named on the command line, or all but SLOW."""
    logger.remove()
    collect_rarely()
    console = Console()
    results = []
    with server() as database:
        for name in sys.argv[1:] or [name for name in BENCHMARKS if name not in SLOW]:
            for result in BENCHMARKS[name](database):
                results.append(result)
                console.print_json(json.dumps(result.as_json()), indent=None)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    console.print(_table(results))


def _table(results: list[Result]) -> Table:
    """A ratio above 1 is good where the unit is a rate, and one below 1 where it is a time."""
    table = Table(box=None, header_style="bold")
    for column in ("benchmark", "parameters", "ours", "peer", "ratio", "unit", "p50 ms", "p99 ms"):
        table.add_column(column)
    for result in results:
        parameters = ", ".join(f"{name} {value}" for name, value in result.parameters.items())
        ratio = f"{result.ratio:.3g}" if result.ratio else ""
        peer = f"{_number(result.peer)} {result.peer_name}" if result.peer else ""
        waits = [_number(result.latency[name]) if name in result.latency else "" for name in ("p50", "p99")]
        table.add_row(result.name, parameters, _number(result.ours), peer, ratio, result.unit, *waits)
    return table


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"


if __name__ == "__main__":
    main()
