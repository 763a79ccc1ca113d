"""The runs of a batch, which are found by its id or by the name that they were asked for under, among all others."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine, insert, text

from projections import batch_runs, workflow_runs
from projections.workflow_runs import Filter
from tests.integration.projections.rows import run_row
from tests.plans import rows_read

BATCH = UUID(int=1)
OTHERS = 3000


def a_run(n: int, batch: str = "") -> dict[str, object]:
    return run_row(n, run_id=UUID(int=n), state="completed", batch=batch)


def test_runs_of_a_batch_are_found_without_a_look_at_the_others(engine: Engine) -> None:
    with engine.begin() as db:
        db.execute(insert(workflow_runs.TABLE), [a_run(n) for n in range(1, OTHERS)])
        db.execute(insert(workflow_runs.TABLE), [a_run(OTHERS, "first"), a_run(OTHERS + 1, str(BATCH))])
        db.execute(insert(batch_runs.TABLE).values(run_id=UUID(int=7), batch_id=BATCH, task=0, position=7))
        db.execute(text("ANALYZE"))
    with engine.connect() as db:

        def listed(batch: str) -> list[int]:
            return [run["run_id"].int for run in workflow_runs.runs(db, Filter(batch=batch)).items]

        assert listed("first") == [OTHERS]
        assert listed(str(BATCH)) == [OTHERS + 1, 7]
        assert workflow_runs.count(db, Filter(batch=str(BATCH))) == 2
        for batch in ("first", str(BATCH)):
            assert rows_read(engine, lambda: listed(batch)) < 100  # noqa: B023 - asked at once
