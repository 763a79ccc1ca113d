"""What watchers are told of the work: as many as the rows say, and never a row twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, update

from projections import figures, interaction_log, workflow_runs
from projections.failure_kinds import failure_kind
from tests.builders import NOW
from tests.integration.projections.rows import RUN, STEP


@pytest.fixture
def a_run(engine: Engine) -> Callable[..., None]:
    def add(position: int, **given: Any) -> None:
        ids = {"run_id": uuid4(), "correlation_id": uuid4(), "requested_position": position, "position": position}
        with engine.begin() as db:
            db.execute(insert(workflow_runs.TABLE).values(RUN | ids | given))

    return add


@pytest.fixture
def a_step(engine: Engine) -> Callable[..., None]:
    def add(position: int, **given: Any) -> None:
        ids = {"step_id": uuid4(), "run_id": uuid4(), "correlation_id": uuid4(), "position": position}
        with engine.begin() as db:
            db.execute(insert(interaction_log.TABLE).values(STEP | ids | given))

    return add


def test_what_waits_is_counted_and_how_long_the_oldest_does(engine: Engine, a_run: Callable[..., None]) -> None:
    with engine.connect() as db:
        assert figures.queues(db)[0] == figures.Queue("runs", waiting=0, running=0, oldest=0, takeovers=0)
    a_run(1, state="requested", waiting_since=NOW)
    a_run(2, state="requested", waiting_since=NOW - timedelta(hours=1))
    a_run(3, state="running", epoch=9, takeovers=2)
    with engine.connect() as db:
        runs, trainings = figures.queues(db)
    assert (runs.waiting, runs.running, runs.takeovers) == (2, 1, 2)
    assert runs.oldest > 3600
    assert (trainings.name, trainings.waiting) == ("trainings", 0)


def test_times_are_spread_over_buckets(engine: Engine, a_run: Callable[..., None]) -> None:
    for position, seconds in enumerate((0.5, 3, 3, 90_000), start=1):
        a_run(position, state="completed", started_at=NOW, finished_at=NOW + timedelta(seconds=seconds))
    a_run(9, state="stopped", finished_at=NOW)
    a_run(10, state="failed", started_at=NOW, finished_at=NOW)
    with engine.connect() as db:
        times = figures.run_times(db)
    completed = dict(times["mutual_ranking", "completed"].cumulative(figures.RUN_BOUNDS))
    assert (completed["1.0"], completed["5.0"], completed["14400.0"], completed["+Inf"]) == (1, 3, 3, 4)
    assert times["mutual_ranking", "completed"].seconds == 90_006.5
    assert dict(times["mutual_ranking", "stopped"].cumulative(figures.RUN_BOUNDS))["+Inf"] == 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("KeyError: 'anna'", "KeyError"),
        ("tiny (embedded) did not answer for 180 s: is it up?", "model"),
        ("tiny (http://x) refused: BadRequestError: 400", "model"),
        ("nobody knows", "other"),
    ],
)
def test_failures_are_told_by_kind(engine: Engine, a_run: Callable[..., None], reason: str, kind: str) -> None:
    assert failure_kind(reason) == kind
    a_run(1, state="failed", failures={kind: 1})
    a_run(2, state="completed", failures={kind: 2, "timed_out": 1})
    with engine.connect() as db:
        assert figures.failures(db) == {("runs", kind): 3, ("runs", "timed_out"): 1}


def test_each_look_takes_in_what_is_new(engine: Engine, a_step: Callable[..., None]) -> None:
    steps = figures.StepFigures()
    a_step(1)
    a_step(2, model="team@1", phase="score", latency=400.0)
    for _ in range(2):
        with engine.connect() as db:
            steps.look(db)
    a_step(3, model="team@2")
    with engine.connect() as db:
        steps.look(db)
    assert steps.tokens == {
        ("anna", "tiny", "input"): 10,
        ("anna", "tiny", "output"): 3,
        ("anna", "team", "input"): 20,
        ("anna", "team", "output"): 6,
    }
    assert dict(steps.times["answer",].cumulative(figures.STEP_BOUNDS))["0.25"] == 2
    assert dict(steps.times["score",].cumulative(figures.STEP_BOUNDS))["300.0"] == 0
    assert steps.times["score",].seconds == 400.0


def test_a_look_reads_new_steps_by_their_index(engine: Engine, a_step: Callable[..., None]) -> None:
    for position in range(1, 50):
        a_step(position)
    steps = figures.StepFigures()
    with engine.connect() as db:
        steps.look(db)
        db.execute(update(interaction_log.TABLE).values(input_tokens=10**6))
        steps.look(db)
    assert steps.tokens["anna", "tiny", "input"] == 490, "what was counted is not read again"
