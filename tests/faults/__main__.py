"""`make faults PROCESS_SEEDS=100 SEEDS=1000`: many seeds of both layers. Interrupted, it goes on where it was.

`make faults SEED=n` or PROCESS_SEED=n replays a single one. Ends with 1 where something was violated.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from loguru import logger
from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tests.faults import simulation
from tests.faults.inquest import Findings
from tests.faults.process_seeds import Plan, play
from tests.faults.progress import Done, Progress
from tests.faults.servers import Servers, running_servers

console = Console(highlight=False)
CATCH_UP_SECONDS = 10.0
"""From when everything is back: the aim, on a machine that does nothing else."""


@dataclass(frozen=True, slots=True)
class Layer:
    """`play` runs a seed; `variable` is what replays one."""

    name: str
    variable: str
    play: Callable[[int], Findings]

    def run(self, seed: int) -> Done:
        """Tells at once what was violated."""
        began = time.monotonic()
        try:
            found = self.play(seed)
        except Exception as error:
            found = Findings([f"it did not come to its end: {error!r}, {_last_call(error)}"])
        for violation in found.violations:
            console.print(f"[red]{self.name} seed {seed}[/]: {violation}")
        if found.violations:
            console.print(f"    make faults {self.variable}={seed}  # replays it")
        seconds, catch_up = (round(each, 1) for each in (time.monotonic() - began, found.catch_up))
        return Done(self.name, seed, seconds, found.violations, found.faults, catch_up)


def main(
    seeds: Annotated[int, typer.Option(envvar="SEEDS", min=0)] = 50,
    process_seeds: Annotated[int, typer.Option(envvar="PROCESS_SEEDS", min=0)] = 5,
    seed: Annotated[int | None, typer.Option(envvar="SEED")] = None,
    process_seed: Annotated[int | None, typer.Option(envvar="PROCESS_SEED")] = None,
) -> None:
    """Seeds 0 to N-1 of each layer, or a single one."""
    logger.remove()
    logging.disable(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running_servers() as servers, servers.database("simulated") as database:
        simulation.prepare(database)
        simulated = Layer("simulated", "SEED", lambda seed: Findings(simulation.simulate(database, seed)))
        processes = Layer("process", "PROCESS_SEED", partial(_play, servers))
        if servers.postgres_disk is None:
            console.print("[yellow]no disk can be filled here[/]: that needs root, where mounting is allowed")
        if seed is not None or process_seed is not None:
            replayed = [(simulated, seed), (processes, process_seed)]
            done = [layer.run(number) for layer, number in replayed if number is not None]
        else:
            progress = Progress()
            done = [*_run_all(simulated, seeds, progress), *_run_all(processes, process_seeds, progress)]
    violated = sum(bool(each.violations) for each in done)
    console.print(
        f"{len(done)} seeds in {sum(each.seconds for each in done):.0f} s, {violated} of them with violations; "
        f"{sum(each.faults for each in done)} faults of real processes, who had caught up after "
        f"{max((each.catch_up for each in done), default=0):.1f} s at the latest"
    )
    raise typer.Exit(1 if violated else 0)


def _last_call(error: Exception) -> str:
    """Where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def _run_all(layer: Layer, count: int, progress: Progress) -> Iterable[Done]:
    left = [seed for seed in range(count) if seed not in progress.held(layer.name)]
    if len(left) < count:
        console.print(f"{count - len(left)} {layer.name} seeds held before, according to {progress.file}")
    if not left:
        return
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        for seed in bar.track(left, description=f"{layer.name} seeds"):
            progress.note(done := layer.run(seed))
            yield done


def _play(servers: Servers, seed: int) -> Findings:
    console.print(f"process seed {seed}: {', '.join(Plan.of(seed).faults)}")
    findings = play(servers, seed, CATCH_UP_SECONDS)
    console.print(
        f"    {findings.faults} faults, {findings.acknowledged} commands acknowledged, {findings.events} events; "
        f"caught up after {findings.catch_up:.1f} s"
    )
    return findings


if __name__ == "__main__":
    typer.run(main)
