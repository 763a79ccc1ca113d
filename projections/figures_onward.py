"""Figures that go on from where they were: what is settled is read once, by an index of positions, and remembered. So a
look takes longer with what fell short and was not taken up, and not with what was completed; the first look of a
process reads everything.

Where a read model may have written rows behind the place that a look has come to, as a rebuild does, or a parked event
that is tried again, everything is read anew. Looks come one after the other, each in a transaction that reads
repeatably: else what is closed meanwhile counts nowhere, or twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Integer, and_, cast, func, select, text, true
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql import ColumnElement

from domain import job, workflow
from projections import interaction_log, jobs, workflow_runs
from projections.checkpoints import PARKED_EVENTS
from projections.figures import STEP_BOUNDS, Labels, Spread, bucket_of, spreads
from projections.projector import Projector, Row

OPEN_RUNS = workflow_runs.TABLE.c.state.in_([state.value for state in workflow.OPEN])
OPEN_JOBS = jobs.TABLE.c.state.in_([state.value for state in job.OPEN])


class SettledFigures:
    """Of this projector's rows that are `settled` (in SQL), and change no more."""

    def __init__(self, projector: Projector, settled: str = "true") -> None:
        self._projector = projector
        self._at = projector.table.c.position
        self._settled = text(settled)
        self._position = 0
        self._source: tuple[object, ...] = ()
        self.forget()

    def look(self, db: Connection) -> None:
        """Takes in what is new; everything, where rows may have changed that were taken in, or should have been."""
        if (source := self._written_by(db)) != self._source:
            self._source, self._position = source, 0
            self.forget()
        newest = db.execute(select(func.coalesce(func.max(self._at), 0)).where(self._settled)).scalar_one()
        head = max(newest, self._position)
        self.take_in(db, and_(self._settled, self._at > self._position, self._at <= head))
        self._position = head

    def _written_by(self, db: Connection) -> tuple[object, ...]:
        """The table, which a rebuild replaces, and which events are parked, of which each goes back to its place."""
        parked, name = PARKED_EVENTS.c, self._projector.name
        query = select(cast(func.to_regclass(name), OID), func.count(), func.sum(parked.position))
        return tuple(db.execute(query.where(parked.projector == name)).one())

    def forget(self) -> None:
        """The figures are those of no rows."""
        raise NotImplementedError

    def take_in(self, db: Connection, new: ColumnElement[bool]) -> None:
        """Adds these rows to the figures."""
        raise NotImplementedError


class StepFigures(SettledFigures):
    """Of all steps."""

    def __init__(self) -> None:
        super().__init__(interaction_log.PROJECTOR)

    def forget(self) -> None:
        """No steps."""
        self.times: dict[Labels, Spread] = {}
        """By phase."""
        self.tokens: Counter[Labels] = Counter()
        """By agent, model and `input` or `output`. A model that is an adapter goes by its alias."""
        self.calls: Counter[Labels] = Counter()
        """By agent, and whether the answer was `cached`: `true` or `false`."""

    def take_in(self, db: Connection, new: ColumnElement[bool]) -> None:
        """A row of sums for each that differ."""
        step = interaction_log.TABLE.c
        model, bucket = func.split_part(step.model, "@", 1), bucket_of(step.latency, STEP_BOUNDS)
        keys = (step.phase, step.agent, model, step.cached, bucket)
        sums = (func.count(), func.sum(step.latency), func.sum(step.input_tokens), func.sum(step.output_tokens))
        for phase, agent, name, cached, place, count, seconds, read, written in db.execute(
            select(*keys, *sums).where(new).group_by(*keys)
        ):
            if name is not None:  # as of tools, which ask no model and cost no tokens
                self.calls[agent, str(cached).lower()] += count
                self.tokens[agent, name, "input"] += int(read)
                self.tokens[agent, name, "output"] += int(written)
            if not cached:
                self.times.setdefault((phase,), Spread()).add(place, count, seconds)


@dataclass
class RunSums:
    """How often runs failed, by how they did; by their kind, how often they were taken over, and calls made again."""

    failures: Counter[str] = field(default_factory=Counter)
    takeovers: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: RunSums) -> RunSums:
        added = RunSums()
        for name in ("failures", "takeovers", "repeated"):
            for one in (self, other):
                getattr(added, name).update(getattr(one, name))
        return added


class RunFigures(SettledFigures):
    """Of all runs. Those that are not closed, as far as they fell short and nobody took them up, are read each time."""

    def __init__(self) -> None:
        super().__init__(workflow_runs.PROJECTOR, workflow_runs.SETTLED)

    def forget(self) -> None:
        """No runs."""
        self.times: dict[Labels, Spread] = {}
        """From a run's first start to its end, by kind and state. One that may be retried has not come to its end."""
        self.sums = RunSums()
        self._closed = RunSums()

    def look(self, db: Connection) -> None:
        """Takes in what is new, and how the open ones stand."""
        super().look(db)
        self.sums = self._closed + _sums(db, OPEN_RUNS)

    def take_in(self, db: Connection, new: ColumnElement[bool]) -> None:
        """Runs that are over for good."""
        sums, times = _sums(db, new), spreads(db, workflow_runs.TABLE, new, workflow_runs.TABLE.c.kind)
        self._closed += sums
        for labels, spread in times.items():
            self.times.setdefault(labels, Spread()).merge(spread)


class JobFigures(SettledFigures):
    """Of all jobs, by queue."""

    def __init__(self) -> None:
        super().__init__(jobs.PROJECTOR, jobs.SETTLED)

    def forget(self) -> None:
        """No jobs."""
        self._failures: Counter[str] = Counter()

    def take_in(self, db: Connection, new: ColumnElement[bool]) -> None:
        """How often attempts at them failed."""
        row = jobs.TABLE.c
        for queue, failures in db.execute(select(row.queue, func.sum(row.failures)).where(new).group_by(row.queue)):
            self._failures[queue] += failures

    def queues(self, db: Connection, at: datetime) -> list[Row]:
        """As jobs.queues says it of all."""
        standing = {row["queue"]: row for row in jobs.queues(db, at, OPEN_JOBS)}
        nothing = dict.fromkeys(("depth", "resting", "running", "dead", "failures", "oldest_seconds"), 0)
        rows = [nothing | standing.get(queue, {}) | {"queue": queue} for queue in sorted({*standing, *self._failures})]
        return [row | {"failures": row["failures"] + self._failures[row["queue"]]} for row in rows]


def _sums(db: Connection, which: ColumnElement[bool]) -> RunSums:
    run, sums = workflow_runs.TABLE.c, RunSums()
    by_kind = select(run.kind, func.sum(run.takeovers), func.sum(run.repeated)).where(which).group_by(run.kind)
    for kind, takeovers, repeated in db.execute(by_kind):
        sums.takeovers[kind], sums.repeated[kind] = int(takeovers), int(repeated)
    kinds = func.jsonb_each_text(run.failures).table_valued("key", "value").lateral()
    failures = select(kinds.c.key, func.sum(cast(kinds.c.value, Integer))).where(which).group_by(kinds.c.key)
    for kind, count in db.execute(failures.select_from(workflow_runs.TABLE.join(kinds, true()))):
        sums.failures[kind] = int(count)
    return sums
