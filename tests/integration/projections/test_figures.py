"""What watchers are told of the work: as many as the rows say, and never a row twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, text, update

from adapters.event_store import PostgresEventStore
from domain.events import Recorded
from domain.steps import Task
from domain.workflow import Workflow
from projections import batches, figures, interaction_log, jobs, workflow_runs
from projections.checkpoints import Poison, park, unpark
from projections.engine import catch_up
from projections.failure_kinds import failure_kind
from projections.figures_onward import JobFigures, RunFigures, SettledFigures, StepFigures
from projections.parked import retry_parked
from projections.projector import Row
from projections.rebuild import rebuild
from tests import story
from tests.builders import NOW
from tests.integration.projections.rows import STEP, job_row, run_row
from tests.plans import rows_read

Looking = TypeVar("Looking", bound=SettledFigures)


@pytest.fixture
def a_run(engine: Engine) -> Callable[..., None]:
    def add(position: int, **given: Any) -> None:
        with engine.begin() as db:
            db.execute(insert(workflow_runs.TABLE).values(run_row(position, **given)))

    return add


@pytest.fixture
def a_job(engine: Engine) -> Callable[..., None]:
    def add(position: int, **given: Any) -> None:
        with engine.begin() as db:
            db.execute(insert(jobs.TABLE).values(job_row(position, **given)))

    return add


@pytest.fixture
def a_step(engine: Engine) -> Callable[..., None]:
    def add(position: int, **given: Any) -> None:
        ids = {"step_id": uuid4(), "run_id": uuid4(), "correlation_id": uuid4(), "position": position}
        with engine.begin() as db:
            db.execute(insert(interaction_log.TABLE).values(STEP | ids | given))

    return add


def looked(settled: Looking, engine: Engine) -> Looking:
    with engine.connect() as db:
        settled.look(db)
    return settled


def test_what_waits_is_counted_and_how_long_the_oldest_does(engine: Engine, a_run: Callable[..., None]) -> None:
    with engine.connect() as db:
        assert figures.queues(db)[0] == figures.Queue("runs", waiting=0, running=0, oldest=0)
    a_run(1, state="requested", waiting_since=NOW)
    a_run(2, state="requested", waiting_since=NOW - timedelta(hours=1))
    a_run(3, state="running")
    with engine.connect() as db:
        runs, trainings = figures.queues(db)
    assert (runs.waiting, runs.running) == (2, 1)
    assert runs.oldest > 3600
    assert (trainings.name, trainings.waiting) == ("trainings", 0)


def test_times_are_spread_over_buckets(engine: Engine, a_run: Callable[..., None]) -> None:
    for position, seconds in enumerate((0.5, 3, 3, 90_000), start=1):
        a_run(position, state="completed", started_at=NOW, finished_at=NOW + timedelta(seconds=seconds))
    a_run(9, state="stopped", finished_at=NOW)
    a_run(10, state="failed", started_at=NOW, finished_at=NOW)
    times = looked(RunFigures(), engine).times
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
    assert looked(RunFigures(), engine).sums.failures == {kind: 3, "timed_out": 1}


def test_what_a_run_went_through_counts_once_whether_it_is_open_or_closed(
    engine: Engine, a_run: Callable[..., None]
) -> None:
    runs = RunFigures()
    a_run(1, state="completed", takeovers=1, repeated=2)
    a_run(2, state="failed", takeovers=2, failures={"model": 1})
    a_run(3, state="running", kind="workforce", takeovers=4, repeated=1)
    for _ in range(2):
        sums = looked(runs, engine).sums
        assert (sums.takeovers.total(), sums.failures) == (7, {"model": 1})
        assert sums.repeated == {"mutual_ranking": 2, "workforce": 1}
    with engine.begin() as db:
        closed = update(workflow_runs.TABLE).values(state="completed", position=workflow_runs.TABLE.c.position + 7)
        db.execute(closed.where(workflow_runs.TABLE.c.state != "completed"))
    sums = looked(runs, engine).sums
    assert (sums.takeovers.total(), sums.failures) == (7, {"model": 1})


@pytest.mark.parametrize(
    "mend",
    [
        lambda engine, store: retry_parked(engine, store, workflow_runs.PROJECTOR),
        lambda engine, store: rebuild(engine, store, workflow_runs.PROJECTOR),
    ],
    ids=["retry", "rebuild"],
)
def test_a_run_whose_end_was_parked_counts_all_the_same_when_it_is_taken_in_at_its_old_position(
    mend: Callable[[Engine, PostgresEventStore], object], engine: Engine, store: PostgresEventStore
) -> None:
    def fold(row: Row | None, recorded: Recorded) -> Row | None:
        if isinstance(recorded.event, Workflow.Completed) and recorded.event.originator_id == story.id_of("first"):
            raise ZeroDivisionError("a bug")
        return workflow_runs.fold(row, recorded)

    for name in ("first", "second"):
        taken_over_and_completed(name, store)
    catch_up(engine, store, replace(workflow_runs.PROJECTOR, fold=fold))
    runs = RunFigures()
    assert looked(runs, engine).sums.takeovers.total() == 2
    mend(engine, store)
    assert looked(runs, engine).sums.takeovers.total() == 2
    assert dict(runs.times["mutual_ranking", "completed"].cumulative(figures.RUN_BOUNDS))["+Inf"] == 2


def taken_over_and_completed(name: str, store: PostgresEventStore) -> None:
    run = Workflow.request(story.id_of(name), "mutual_ranking", Task(("Why?",)), 1, (), "", None, at=NOW)
    run.start("w1", (), NOW)
    run.start("w2", (), NOW)
    run.complete(run.epoch, NOW)
    store.session(story.envelope(run)).save(run)


def test_a_step_that_was_parked_counts_once_it_is_taken_in_before_those_that_followed(
    engine: Engine, a_step: Callable[..., None]
) -> None:
    steps, parked = StepFigures(), Poison(1, None, uuid4(), ZeroDivisionError("a bug"))
    with engine.begin() as db:
        park(db, interaction_log.PROJECTOR.name, parked)
    a_step(2)
    assert looked(steps, engine).calls == {("anna", "false"): 1}
    with engine.begin() as db:
        unpark(db, interaction_log.PROJECTOR.name)
    a_step(1)
    assert looked(steps, engine).calls == {("anna", "false"): 2}


def test_failed_attempts_at_jobs_stay_counted_and_every_queue_that_had_one_is_told_of(
    engine: Engine, a_job: Callable[..., None]
) -> None:
    of_jobs = JobFigures()
    a_job(1, state="succeeded", failures=2, queue="checks")
    a_job(2, state="dead", failures=5)
    a_job(3, state="waiting", due_at=NOW)
    for _ in range(2):
        looked(of_jobs, engine)
        with engine.connect() as db:
            told = of_jobs.queues(db, NOW)
            assert told == jobs.queues(db, NOW)
    assert [(queue["queue"], queue["failures"], queue["dead"]) for queue in told] == [
        ("checks", 2, 0),
        ("maintenance", 5, 1),
    ]


def test_a_look_reads_nothing_of_what_was_over_at_the_last_one(engine: Engine, a_run: Any, a_job: Any) -> None:
    with engine.begin() as db:
        db.execute(insert(workflow_runs.TABLE), [run_row(n, state="completed") for n in range(1, 2000)])
        db.execute(insert(jobs.TABLE), [job_row(n, state="succeeded") for n in range(1, 2000)])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("VACUUM ANALYZE"))
    runs, of_jobs = RunFigures(), JobFigures()

    def look() -> None:
        with engine.connect() as db:
            runs.look(db)
            of_jobs.look(db)
            of_jobs.queues(db, NOW)
            figures.queues(db)
            batches.unfinished(db)

    assert rows_read(engine, look) > 2000
    a_run(2000, state="failed", failures={"model": 1})
    a_job(2000, state="waiting", due_at=NOW)
    assert rows_read(engine, look) < 50
    assert runs.sums.failures == {"model": 1}


def test_each_look_takes_in_what_is_new(engine: Engine, a_step: Callable[..., None]) -> None:
    steps = StepFigures()
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
    steps = StepFigures()
    with engine.connect() as db:
        steps.look(db)
        db.execute(update(interaction_log.TABLE).values(input_tokens=10**6))
        steps.look(db)
    assert steps.tokens["anna", "tiny", "input"] == 490, "what was counted is not read again"
