"""Two runs side by side: what each said where the other said something else, e.g. a fork and the run it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from domain.errors import Invalid
from projections import interaction_log, workflow_runs
from projections.paging import every
from projections.projector import Row

MOST_STEPS = 500
"""Of each run; they are sent in one piece."""
SAID = (
    *("step_id", "run_id", "agent", "phase", "n", "output", "error", "tool_calls", "score", "model", "adapter"),
    *("output_tokens", "latency"),
)
"""What is told of a step, besides its place in the log."""

Place = tuple[int, str, int]
"""Which of the run's agents, phase, and number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in both runs; a step is None where that run has nothing there."""

    phase: str
    n: int
    mine: Row | None
    theirs: Row | None


def differences(db: Connection, mine: Row, theirs: Row) -> tuple[int, list[Difference]]:
    """How many steps both runs share, and what is besides, in the order in which it was recorded.

    `mine` and `theirs` are rows of workflow_runs. The nth agent of one is compared with the nth of the other.
    Raises Invalid for runs of too many steps to be looked at side by side.
    """
    for run in (mine, theirs):
        if run["steps"] + len(run["shared"]) > MOST_STEPS:
            raise Invalid(f"run {run['run_id']} has more than {MOST_STEPS} steps: compare them page by page")
    ours, other = _steps(db, mine), _steps(db, theirs)
    both = {step["step_id"] for step in ours.values()} & {step["step_id"] for step in other.values()}
    places = sorted({**ours, **other}, key=lambda place: _position(ours.get(place), other.get(place)))
    pairs = [(place, ours.get(place), other.get(place)) for place in places]
    return len(both), [
        Difference(phase, n, one, another)
        for (_, phase, n), one, another in pairs
        if not (one and one["step_id"] in both)
    ]


def _steps(db: Connection, run: Row) -> Mapping[Place, Row]:
    """The run's own and those that it shares. An agent's place is the one that it has in the run which recorded it."""
    wanted = interaction_log.Filter(run_id=run["run_id"], shared=tuple(map(UUID, run["shared"])))
    said = [interaction_log.TABLE.c[name] for name in (*SAID, "position")]
    steps = every(db, interaction_log.matching(wanted).with_only_columns(*said))
    seats = {run["run_id"]: run["agents"], **_agents_of(db, {step["run_id"] for step in steps} - {run["run_id"]})}
    return {(seats[step["run_id"]].index(step["agent"]), step["phase"], step["n"]): step for step in steps}


def _agents_of(db: Connection, runs: Iterable[UUID]) -> dict[UUID, Sequence[str]]:
    return {id: row["agents"] for id in runs if (row := workflow_runs.find(db, id))}


def _position(one: Row | None, another: Row | None) -> int:
    return min(int(step["position"]) for step in (one, another) if step)
