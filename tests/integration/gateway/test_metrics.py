"""What Prometheus reads is of one moment, though it takes several queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event, insert, update

from domain.access import Role
from projections import workflow_runs
from tests.integration.gateway.conftest import Gateway
from tests.integration.projections.rows import run_row

RUNS = workflow_runs.TABLE


@contextmanager
def closed_after_the_first_query_of_runs(engine: Engine) -> Iterator[None]:
    closing = [update(RUNS).values(state="completed", position=2)]

    def close(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if closing and "FROM workflow_runs" in statement:
            with engine.begin() as db:
                db.execute(closing.pop())

    event.listen(engine, "after_cursor_execute", close)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", close)


async def test_a_run_that_is_closed_while_its_figures_are_read_counts_all_the_same(gateway: Gateway) -> None:
    engine = gateway.core.engine
    with engine.begin() as db:
        db.execute(insert(RUNS).values(run_row(1, state="running", takeovers=3)))
    async with gateway.client(Role.VIEWER) as viewer:
        with closed_after_the_first_query_of_runs(engine):
            told = [(await viewer.get("/metrics")).text for _ in range(2)]
    assert all('caravan_takeovers_total{queue="runs"} 3.0' in text for text in told)
