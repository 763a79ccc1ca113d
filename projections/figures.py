"""Figures of everybody's work for those who watch it: how long things took, what they cost, and what waits.

Labels are kinds, states, phases, agents and models: few, whatever happens. Ids are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Double, Integer, Table, cast, func, select, true
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import ColumnElement

from domain.training import TrainingState
from domain.workflow import State
from projections import interaction_log, training_runs, workflow_runs
from projections.failure_kinds import failure_kind

Labels = tuple[str, ...]

RUN_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
STEP_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""

ENDED_FOR_GOOD = workflow_runs.TABLE.c.state.in_([State.COMPLETED.value, State.STOPPED.value])
QUEUES: dict[str, Table] = {"runs": workflow_runs.TABLE, "trainings": training_runs.TABLE}


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

    def cumulative(self, bounds: Sequence[float]) -> Iterator[tuple[str, int]]:
        """Prometheus' buckets: how many are at most each bound."""
        total = 0
        for bucket, bound in enumerate((*map(str, bounds), "+Inf")):
            total += self.counts[bucket]
            yield bound, total


@dataclass(frozen=True, slots=True)
class Queue:
    """Work that was asked for. `waiting` has nobody yet, the oldest of it since `oldest` seconds (0: none waits).
    `takeovers`: how often a worker took what another had left."""

    name: str
    waiting: int
    running: int
    oldest: float
    takeovers: int


def queues(db: Connection) -> list[Queue]:
    """Runs and trainings, each in the words of its table."""
    found = []
    since = {"runs": workflow_runs.TABLE.c.waiting_since, "trainings": training_runs.TABLE.c.requested_at}
    taken_over = {
        "runs": workflow_runs.TABLE.c.takeovers,
        "trainings": func.greatest(training_runs.TABLE.c.epoch - 1, 0),
    }
    for name, table in QUEUES.items():
        waits, runs = table.c.state == State.REQUESTED.value, table.c.state == State.RUNNING.value
        age = func.extract("epoch", func.now() - func.min(since[name]).filter(waits))
        query = select(
            func.count().filter(waits),
            func.count().filter(runs),
            func.coalesce(age, 0),
            func.coalesce(func.sum(taken_over[name]), 0),
        )
        waiting, running, oldest, takeovers = db.execute(query).one()
        found.append(Queue(name, waiting, running, max(0.0, float(oldest)), int(takeovers)))
    return found


def run_times(db: Connection) -> dict[Labels, Spread]:
    """From a run's first start to its end, by kind and state. One that may be retried has not come to its end."""
    return _times(db, workflow_runs.TABLE, ENDED_FOR_GOOD, workflow_runs.TABLE.c.kind)


def training_times(db: Connection) -> dict[Labels, Spread]:
    """From a training's first start to its end, by state."""
    return _times(db, training_runs.TABLE, true())


def failures(db: Connection) -> dict[Labels, int]:
    """How often runs and trainings failed, by queue and kind; those of runs that were retried stay counted."""
    kinds = func.jsonb_each_text(workflow_runs.TABLE.c.failures).table_valued("key", "value").lateral()
    both = workflow_runs.TABLE.join(kinds, true())
    runs = select(kinds.c.key, func.sum(cast(kinds.c.value, Integer))).select_from(both).group_by(kinds.c.key)
    failed = training_runs.TABLE.c.state == TrainingState.FAILED.value
    trainings = Counter(
        failure_kind(reason) for reason in db.scalars(select(training_runs.TABLE.c.reason).where(failed))
    )
    return {
        **{("runs", kind): int(count) for kind, count in db.execute(runs)},
        **{("trainings", kind): count for kind, count in trainings.items()},
    }


class StepFigures:
    """Of all steps, remembered: each look reads what came into the interaction log since the last one, by its index.

    A step that a read model took in after those behind it (it was parked) counts once the process starts anew.
    """

    def __init__(self) -> None:
        self.times: dict[Labels, Spread] = {}
        """By phase."""
        self.tokens: Counter[Labels] = Counter()
        """By agent, model and `input` or `output`. A model that is an adapter goes by its alias."""
        self.calls: Counter[Labels] = Counter()
        """By agent, and whether the answer was `cached`: `true` or `false`."""
        self._position = 0
        self._lock = Lock()

    def look(self, db: Connection) -> None:
        """Takes in what is new."""
        step = interaction_log.TABLE.c
        model, bucket = func.split_part(step.model, "@", 1), _bucket(step.latency, STEP_BOUNDS)
        keys = (step.phase, step.agent, model, step.cached, bucket)
        sums = (func.count(), func.sum(step.latency), func.sum(step.input_tokens), func.sum(step.output_tokens))
        with self._lock:
            head = db.execute(select(func.coalesce(func.max(step.position), 0))).scalar_one()
            new = (step.position > self._position, step.position <= head)
            rows = db.execute(select(*keys, *sums).where(*new).group_by(*keys)).all()
            for phase, agent, name, cached, place, count, seconds, read, written in rows:
                if name is not None:  # as of tools, which ask no model and cost no tokens
                    self.calls[agent, str(cached).lower()] += count
                    self.tokens[agent, name, "input"] += int(read)
                    self.tokens[agent, name, "output"] += int(written)
                if not cached:
                    self.times.setdefault((phase,), Spread()).add(place, count, seconds)
            self._position = head


def _times(
    db: Connection, table: Table, which: ColumnElement[bool], *labels: ColumnElement[str]
) -> dict[Labels, Spread]:
    seconds = cast(func.extract("epoch", table.c.finished_at - table.c.started_at), Double)
    labels, bucket = (*labels, table.c.state), _bucket(seconds, RUN_BOUNDS)
    query = select(*labels, bucket, func.count(), func.coalesce(func.sum(seconds), 0.0))
    found: dict[Labels, Spread] = {}
    for *names, place, count, total in db.execute(
        query.where(table.c.finished_at.is_not(None), which).group_by(*labels, bucket)
    ):
        # What was stopped before anybody took it has no start, and took no time.
        found.setdefault(tuple(names), Spread()).add(place or 0, count, total)
    return found


def _bucket(seconds: ColumnElement[Any], bounds: Sequence[float]) -> ColumnElement[int]:
    return func.width_bucket(seconds, array(bounds, type_=Double))
