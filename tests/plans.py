"""How much PostgreSQL reads to answer our queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine, event


def rows_read(engine: Engine, ask: Callable[[], object]) -> int:
    """How many rows are looked at for that question, in all its queries together, whether they are in the answer or
    not."""
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
        return sum(rows for plan in plans for rows in _scanned(plan.scalar_one()[0]["Plan"]))


def _scanned(plan: dict[str, Any]) -> Iterator[int]:
    if plan["Node Type"].endswith("Scan"):
        yield int((plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"])
    for inner in plan.get("Plans", ()):
        yield from _scanned(inner)
