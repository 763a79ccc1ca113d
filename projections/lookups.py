"""Ports that the read models can answer. A policy asks right after a command, so each answer is as new as the log:
the projector is caught up first (engines take turns, so anybody may), or the log itself is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Engine, func, select

from domain.errors import NotFound
from domain.job import JobState, Priority
from domain.ports.events import EventLog, StoredEvents
from domain.ports.jobs import LostJob, WaitingJob, Workers
from domain.ports.roster import KeptRevision
from domain.roster import ROSTER_ID, AgentRoster, AgentSpec
from domain.serving import Servable
from domain.training import TrainingState
from domain.workflow import State
from projections import agent_rosters, batch_runs, jobs, lora_adapters, training_runs, workflow_runs
from projections.engine import catch_up
from projections.projector import Projector

SLACK = timedelta(seconds=30)
"""For a worker to end a silent attempt itself, and for clocks that differ."""


class PromotedAdapters:
    """The Adapters port."""

    def __init__(self, engine: Engine, events: StoredEvents) -> None:
        self._engine = engine
        self._events = events

    def promoted(self, alias: str) -> str | None:
        """The adapter that the alias means now, e.g. `team@2`; None where nothing is promoted."""
        catch_up(self._engine, self._events, lora_adapters.PROJECTOR)
        with self._engine.connect() as db:
            return lora_adapters.promoted(db, alias)


class ServableAdapters:
    """What model servers should serve."""

    def __init__(self, engine: Engine, events: StoredEvents) -> None:
        self._engine = engine
        self._events = events

    def __call__(self) -> Mapping[str, Servable]:
        """The adapters that are registered and not retired, by their names."""
        catch_up(self._engine, self._events, lora_adapters.PROJECTOR)
        with self._engine.connect() as db:
            return lora_adapters.servable(db)


class RosterRevisions:
    """The Rosters port, from the log: a run may be pinned to a revision that no read model has yet, and the roster's
    history is short. A revision stays as it is, so each is read once."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._known = lru_cache(maxsize=64)(self._read)

    def agents(self, revision: int) -> tuple[AgentSpec, ...]:
        """The agents of that revision. Raises NotFound."""
        return self._known(revision)

    def _read(self, revision: int) -> tuple[AgentSpec, ...]:
        for recorded in self._log.history(ROSTER_ID):
            if isinstance(recorded.event, AgentRoster.Revised) and recorded.event.originator_version == revision:
                return recorded.event.agents
        raise NotFound("agent roster revision", str(revision))


class KeptRosters:
    """The KeptRevisions port."""

    def __init__(self, engine: Engine, events: StoredEvents) -> None:
        self._engine = engine
        self._events = events

    def latest(self) -> KeptRevision | None:
        """The revision in force, as far as the read model has come; None before the first."""
        with self._engine.connect() as db:
            row = agent_rosters.latest(db)
        return KeptRevision(row["revision"], row["text"], row["sha256"], row["author"]) if row else None

    def newest(self) -> KeptRevision | None:
        """The revision in force."""
        catch_up(self._engine, self._events, agent_rosters.PROJECTOR)
        return self.latest()

    def holding(self, sha256: str) -> int | None:
        """The newest revision with that text; None where no revision ever had it."""
        revisions = agent_rosters.TABLE.c
        with self._engine.connect() as db:
            newest: int | None = db.scalar(select(func.max(revisions.revision)).where(revisions.sha256 == sha256))
        return newest


class BatchRuns:
    """The BatchRuns port."""

    def __init__(self, engine: Engine, events: StoredEvents) -> None:
        self._engine = engine
        self._events = events

    def batch_of(self, run: UUID) -> UUID | None:
        """The batch that the run belongs to; None where it is on its own."""
        catch_up(self._engine, self._events, batch_runs.PROJECTOR)
        with self._engine.connect() as db:
            return batch_runs.batch_of(db, run)


class UnattendedWork:
    """The WorkQueue port."""

    def __init__(self, engine: Engine, events: StoredEvents, workers: Workers) -> None:
        self._engine = engine
        self._events = events
        self._workers = workers

    def runs_without_worker(self) -> Sequence[UUID]:
        """Runs that are requested, or whose worker is gone; the oldest first."""
        return self._unattended(workflow_runs.PROJECTOR, State.REQUESTED.value, State.RUNNING.value)

    def trainings_without_worker(self) -> Sequence[UUID]:
        """Training runs that are requested, or whose trainer is gone; the oldest first."""
        return self._unattended(training_runs.PROJECTOR, TrainingState.REQUESTED.value, TrainingState.RUNNING.value)

    def running_runs(self) -> Sequence[UUID]:
        """Runs that some worker has, or had when it died."""
        return self._running(workflow_runs.PROJECTOR, State.RUNNING.value)

    def running_trainings(self) -> Sequence[UUID]:
        """Training runs that some trainer has, or had when it died."""
        return self._running(training_runs.PROJECTOR, TrainingState.RUNNING.value)

    def _running(self, projector: Projector, running: str) -> Sequence[UUID]:
        catch_up(self._engine, self._events, projector)
        runs = projector.table.c
        with self._engine.connect() as db:
            return db.scalars(select(runs.run_id).where(runs.state == running).order_by(runs.run_id)).all()

    def _unattended(self, projector: Projector, requested: str, running: str) -> Sequence[UUID]:
        catch_up(self._engine, self._events, projector)
        runs = projector.table.c
        query = select(runs.run_id, runs.state, runs.worker).where(runs.state.in_([requested, running]))
        with self._engine.connect() as db:
            found = db.execute(query.order_by(runs.run_id)).all()
        at_work = {row.worker for row in found if row.state == running}
        gone = {worker for worker in at_work if not self._workers.alive(worker)}
        return [row.run_id for row in found if row.state == requested or row.worker in gone]


class JobsAtHand:
    """The JobsAtHand port."""

    def __init__(self, engine: Engine, events: StoredEvents, workers: Workers) -> None:
        self._engine = engine
        self._events = events
        self._workers = workers

    def due(self, limit: int, queue: str | None = None) -> Sequence[WaitingJob]:
        """Those that wait and may start now, in the order in which they are to be served."""
        catch_up(self._engine, self._events, jobs.PROJECTOR)
        job = jobs.TABLE.c
        query = select(job.job_id, job.queue, job.priority, job.epoch)
        query = query.where(job.state == JobState.WAITING.value, job.due_at <= datetime.now(UTC))
        if queue is not None:
            query = query.where(job.queue == queue)
        with self._engine.connect() as db:
            found = db.execute(query.order_by(jobs.SERVED, job.requested_position).limit(limit)).all()
        return [WaitingJob(id, name, Priority(priority), epoch) for id, name, priority, epoch in found]

    def lost(self) -> Sequence[LostJob]:
        """Those whose worker is gone, or says nothing for too long: that it lives does not mean that it works."""
        catch_up(self._engine, self._events, jobs.PROJECTOR)
        job = jobs.TABLE.c
        query = select(job.job_id, job.epoch, job.worker, job.heard_at, job.timeout)
        with self._engine.connect() as db:
            running = db.execute(query.where(job.state == JobState.RUNNING.value)).all()
        now = datetime.now(UTC)
        gone = {worker for worker in {row.worker for row in running} if not self._workers.alive(worker)}
        lost = [
            LostJob(row.job_id, row.epoch, f"its worker {row.worker} is gone") for row in running if row.worker in gone
        ]
        return lost + [
            LostJob(row.job_id, row.epoch, f"its worker {row.worker} said nothing for {row.timeout:g} s")
            for row in running
            if row.worker not in gone and now - row.heard_at > timedelta(seconds=row.timeout) + SLACK
        ]
