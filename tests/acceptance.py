"""`make acceptance`: the 80 MT-Bench tasks, while every process is killed with -9 once. Prints what it saw.

It takes about half an hour on two cores. ACCEPTANCE_TASKS=8 or ACCEPTANCE_MAX_TOKENS=60 make a shorter try of it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from math import comb
from typing import Any

import psycopg
from psycopg.rows import scalar_row
from rich.console import Console
from rich.table import Table

from adapters.model_server.weights import prepare_model
from gateway.cli.client import Api
from gateway.cli.runs import FINISHED, read_tasks, start_batch
from projections import ALL
from tests.invariants import GAPS
from tests.living_caravan import LivingCaravan, living_caravan
from tests.requirements import needs_real_inputs

VICTIMS = ("worker", "gateway", "projectors", "postgres", "nats")
MAX_TOKENS = int(os.environ.get("ACCEPTANCE_MAX_TOKENS", "150"))
console = Console()


def main() -> int:
    """Runs it all; 0 when every check holds."""
    tasks = read_tasks(needs_real_inputs() / "mt_bench_questions.jsonl")[
        : int(os.environ.get("ACCEPTANCE_TASKS", "80"))
    ]
    with living_caravan(prepare_model=prepare_model) as caravan:
        api = Api(caravan.api_url, caravan.token)
        began = time.monotonic()
        batch, _ = start_batch(api, tasks, kind="mutual_ranking", agents=[], max_tokens=MAX_TOKENS)
        runs = _play(api, batch, len(tasks), caravan)
        seconds = time.monotonic() - began
        checks = dict(_checks(caravan, runs, len(tasks)))
        checks["read models equal their rebuild"] = _rebuilt_the_same(caravan)
    _print(checks, seconds)
    return 0 if all(checks.values()) else 1


def _play(api: Api, batch: str, total: int, caravan: LivingCaravan) -> list[dict[str, Any]]:
    """Until every run is finished; on the way, each victim dies once, evenly spread."""
    due = {total * (n + 1) // (len(VICTIMS) + 1): victim for n, victim in enumerate(VICTIMS)}
    while True:
        runs = list(api.pages("/v1/workflows", batch=batch, limit=200))
        done = sum(run["state"] in FINISHED for run in runs)
        for mark in [mark for mark in due if done >= mark]:
            victim = due.pop(mark)
            console.print(f"{done}/{total} runs finished: kill -9 {victim}")
            caravan.kill(victim)
        if done == total == len(runs):
            return runs
        time.sleep(2)


def _checks(caravan: LivingCaravan, runs: list[dict[str, Any]], total: int) -> Iterator[tuple[str, bool]]:
    with psycopg.connect(caravan.postgres.url(), row_factory=scalar_row) as db:

        def count(query: str) -> int:
            return db.execute(query).fetchone() or 0  # type: ignore[call-overload]  # queries are literals below

        _wait_until_caught_up(caravan)
        yield f"{total} of {total} runs completed", [run["state"] for run in runs] == ["completed"] * total
        expected = {run["run_id"]: _expected(run) for run in runs}
        yield (
            "each run has the steps and ballots that it must have",
            all((run["steps"], run["ballots"]) == expected[run["run_id"]] for run in runs),
        )
        steps = count("SELECT count(*) FROM event_log WHERE type = 'workflow.step_recorded'")
        distinct = count(
            "SELECT count(DISTINCT data->'step'->>'id') FROM event_log WHERE type='workflow.step_recorded'"
        )
        console.print(f"{steps} steps, {distinct} distinct")
        yield "no step is doubled", steps == distinct == sum(run["steps"] for run in runs)
        yield "steps in the store and in the read model", steps == count("SELECT count(*) FROM interaction_logs")
        for name, type, table in (
            ("ballots", "workflow.ballot_cast", "ballots"),
            ("pairs", "preference.proposed", "dpo_annotations"),
        ):
            stored = count(f"SELECT count(*) FROM event_log WHERE type = '{type}'")
            console.print(f"{stored} {name}")
            yield f"{name} in the store and in the read model", stored == count(f"SELECT count(*) FROM {table}") > 0
        yield "versions contiguous in every aggregate", count(GAPS) == 0
        yield "nothing parked", count("SELECT count(*) FROM parked_events") == 0
        running = caravan.processes()
        yield "every victim died and is back", all(running.child(victim).restarts >= 1 for victim in VICTIMS)


def _wait_until_caught_up(caravan: LivingCaravan, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    with caravan.api() as api:
        while any(item["lag"] for item in api.get("/v1/projections").json()["items"]):
            if time.monotonic() > deadline:
                raise TimeoutError("the read models do not catch up")
            time.sleep(0.2)


def _expected(run: dict[str, Any]) -> tuple[int, int]:
    """With likelihood ballots: an answer a turn and agent, a score of each other's answer, a ballot on each pair."""
    agents = len(run["agents"])
    return agents * run["turns"] + agents * (agents - 1), agents * comb(agents - 1, 2)


def _rebuilt_the_same(caravan: LivingCaravan) -> bool:
    before = _rows(caravan.postgres.url())
    with psycopg.connect(caravan.postgres.url(), autocommit=True) as db:
        for projector in ALL:
            db.execute(f"DROP TABLE {projector.table.name} CASCADE")  # type: ignore[arg-type]  # our own table's name
    caravan.run("projections", "rebuild")
    return _rows(caravan.postgres.url()) == before


def _rows(database_url: str) -> dict[str, list[str]]:
    with psycopg.connect(database_url, row_factory=scalar_row) as db:
        return {
            projector.name: sorted(db.execute(f"SELECT t::text FROM {projector.table.name} AS t").fetchall())  # type: ignore[arg-type]
            for projector in ALL
        }


def _print(checks: dict[str, bool], seconds: float) -> None:
    table = Table("check", "holds", box=None)
    for name, holds in checks.items():
        table.add_row(name, "[green]yes[/]" if holds else "[red]NO[/]")
    console.print(table)
    console.print(f"{seconds:.0f} s for the runs; {sum(checks.values())} of {len(checks)} checks hold")


if __name__ == "__main__":
    sys.exit(main())
