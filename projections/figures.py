"""Figures of everybody's work for those who watch it: how long things took, what they cost, and what waits.

Labels are kinds, states, phases, agents and models: few, whatever happens. Ids are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Double, Table, cast, func, select, true
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import ColumnElement

from domain.training import TrainingState
from domain.workflow import State
from projections import training_runs, workflow_runs
from projections.failure_kinds import failure_kind

Labels = tuple[str, ...]

RUN_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
STEP_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""


@dataclass
class Spread:
    """How durations are spread: `counts` of those up to each bound but beyond the one before, the last of them beyond
    all bounds; `seconds` is their sum."""

    counts: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, bucket: int, count: int, seconds: float) -> None:
        """So many more in that bucket."""
        self.counts[bucket] += count
        self.seconds += seconds

    def merge(self, other: Spread) -> None:
        """Those of the other, too."""
        self.counts.update(other.counts)
        self.seconds += other.seconds

    def cumulative(self, bounds: Sequence[float]) -> Iterator[tuple[str, int]]:
        """Prometheus' buckets: how many are at most each bound."""
        total = 0
        for bucket, bound in enumerate((*map(str, bounds), "+Inf")):
            total += self.counts[bucket]
            yield bound, total


@dataclass(frozen=True, slots=True)
class Queue:
    """Work that was asked for. `waiting` has nobody yet, the oldest of it since `oldest` seconds (0: none waits)."""

    name: str
    waiting: int
    running: int
    oldest: float


def queues(db: Connection) -> list[Queue]:
    """Runs and trainings, each in the words of its table."""
    since = {
        "runs": (workflow_runs.TABLE, workflow_runs.TABLE.c.waiting_since),
        "trainings": (training_runs.TABLE, training_runs.TABLE.c.requested_at),
    }
    return [_queue(db, name, table, waiting_since) for name, (table, waiting_since) in since.items()]


def _queue(db: Connection, name: str, table: Table, waiting_since: ColumnElement[Any]) -> Queue:
    waits, runs = table.c.state == State.REQUESTED.value, table.c.state == State.RUNNING.value
    age = func.extract("epoch", func.now() - func.min(waiting_since).filter(waits))
    query = select(func.count().filter(waits), func.count().filter(runs), func.coalesce(age, 0)).where(waits | runs)
    waiting, running, oldest = db.execute(query).one()
    return Queue(name, waiting, running, max(0.0, float(oldest)))


def training_times(db: Connection) -> dict[Labels, Spread]:
    """From a training's first start to its end, by state. Trainings are few."""
    return spreads(db, training_runs.TABLE, true())


def training_failures(db: Connection) -> Counter[str]:
    """How often trainings failed, by kind."""
    failed = training_runs.TABLE.c.state == TrainingState.FAILED.value
    return Counter(failure_kind(reason) for reason in db.scalars(select(training_runs.TABLE.c.reason).where(failed)))


def training_takeovers(db: Connection) -> int:
    """How often a trainer took what another had left."""
    more = func.sum(func.greatest(training_runs.TABLE.c.epoch - 1, 0))
    return int(db.execute(select(func.coalesce(more, 0))).scalar_one())


def spreads(
    db: Connection, table: Table, which: ColumnElement[bool], *labels: ColumnElement[str]
) -> dict[Labels, Spread]:
    """From the first start to the end of these, by `labels` and state."""
    seconds = cast(func.extract("epoch", table.c.finished_at - table.c.started_at), Double)
    labels, bucket = (*labels, table.c.state), bucket_of(seconds, RUN_BOUNDS)
    query = select(*labels, bucket, func.count(), func.coalesce(func.sum(seconds), 0.0))
    found: dict[Labels, Spread] = {}
    for *names, place, count, total in db.execute(
        query.where(table.c.finished_at.is_not(None), which).group_by(*labels, bucket)
    ):
        # What was stopped before anybody took it has no start, and took no time.
        found.setdefault(tuple(names), Spread()).add(place or 0, count, total)
    return found


def bucket_of(seconds: ColumnElement[Any], bounds: Sequence[float]) -> ColumnElement[int]:
    """Which of a Spread's buckets that belongs to."""
    return func.width_bucket(seconds, array(bounds, type_=Double))
