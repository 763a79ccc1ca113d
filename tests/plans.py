"""What PostgreSQL reads to answer our queries, and throws away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine, event


def passed_over(engine: Engine, ask: Callable[[], object]) -> int:
    """How many rows were read in vain, in all queries of that question together."""
    heard: list[tuple[str, Any]] = []

    def hear(_db: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        heard.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    with engine.connect() as db:
        plans = [db.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", given) for query, given in heard]
        return sum(rows for plan in plans for rows in _removed(plan.scalar_one()))


def _removed(plan: Any) -> Iterator[int]:
    match plan:
        case dict():
            yield int(plan.get("Rows Removed by Filter", 0)) * int(plan.get("Actual Loops", 1))
            for inner in plan.values():
                yield from _removed(inner)
        case list():
            for inner in plan:
                yield from _removed(inner)
