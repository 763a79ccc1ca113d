"""An adapter's passport: what made it, what it is worth and what became of it, as the read models have it."""

from __future__ import annotations

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from domain.lora_adapter import Passport, differences
from projections import datasets, evaluations, lora_adapters, training_metrics, training_runs, workflow_runs
from projections.paging import every, one
from projections.projector import Row

NEEDED = (
    lora_adapters.PROJECTOR,
    datasets.PROJECTOR,
    training_runs.PROJECTOR,
    training_metrics.PROJECTOR,
    evaluations.PROJECTOR,
    workflow_runs.PROJECTOR,
)
"""The read models that it is made of."""
NEWEST = 20
"""Of evaluations and runs, so many are told."""
_PASSPORT = TypeAdapter(Passport)


def passport(db: Connection, adapter: Row) -> Row:
    """All of it but the adapter's events, of a row of `lora_adapters`."""
    made_by, name = adapter["passport"], adapter["name"]
    run = training_runs.find(db, made_by["training_run"])
    used = workflow_runs.Filter(adapter=name)
    return {
        "adapter": adapter,
        "dataset": datasets.find(db, made_by["dataset_id"]),
        "training": run,
        "last_step": _last_step(db, made_by["training_run"]),
        "health": training_metrics.health(db, made_by["training_run"]),
        "evaluations": evaluations.evaluations(db, name, limit=NEWEST).items,
        "runs": workflow_runs.count(db, used),
        "newest_runs": workflow_runs.runs(db, used, limit=NEWEST).items,
        "reproductions": _reproductions(db, adapter),
    }


def _last_step(db: Connection, run: str) -> Row | None:
    metrics = training_metrics.TABLE.c
    query = training_metrics.ROWS.where(metrics.run_id == run).order_by(metrics.step.desc(), metrics.position.desc())
    return one(db, query.limit(1))


def _reproductions(db: Connection, adapter: Row) -> list[Row]:
    """The newest trainings that made it again, or will, and whether the weights are the same."""
    run, made = training_runs.TABLE.c, lora_adapters.TABLE.c
    query = (
        select(run.run_id, run.state, run.adapter_name.label("adapter"), made.passport)
        .outerjoin_from(training_runs.TABLE, lora_adapters.TABLE, made.name == run.adapter_name)
        .where(run.reproduces["adapter"].astext == adapter["name"])
        .order_by(run.requested_position.desc())
        .limit(NEWEST)
    )
    return [_compared(adapter["passport"], row) for row in every(db, query)]


def _compared(original: Row, found: Row) -> Row:
    again = found.pop("passport")
    if again is None:
        return found | {"sha256": None, "same": None, "differs": []}
    same = again["sha256"] == original["sha256"]
    one, other = _PASSPORT.validate_python(original), _PASSPORT.validate_python(again)
    return found | {"sha256": again["sha256"], "same": same, "differs": [] if same else differences(one, other)}
