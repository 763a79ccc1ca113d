"""Ports that the read models can answer. A policy asks right after a command, so each answer is as new as the log:
the projector is caught up first (engines take turns, so anybody may), or the log itself is read."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine, select

from domain.errors import NotFound
from domain.ports import EventLog, StoredEvents, Workers
from domain.roster import ROSTER_ID, AgentRoster, AgentSpec
from domain.training import TrainingState
from domain.workflow import State
from projections import lora_adapters, training_runs, workflow_runs
from projections.engine import catch_up
from projections.projector import Projector


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


class RosterRevisions:
    """The Rosters port, from the log: a run may be pinned to a revision that no read model has yet, and the roster's
    history is short."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def agents(self, revision: int) -> tuple[AgentSpec, ...]:
        """The agents of that revision. Raises NotFound."""
        for recorded in self._log.history(ROSTER_ID):
            if isinstance(recorded.event, AgentRoster.Revised) and recorded.event.originator_version == revision:
                return recorded.event.agents
        raise NotFound("agent roster revision", str(revision))


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

    def _unattended(self, projector: Projector, requested: str, running: str) -> Sequence[UUID]:
        catch_up(self._engine, self._events, projector)
        runs = projector.table.c
        query = select(runs.run_id, runs.state, runs.worker).where(runs.state.in_([requested, running]))
        with self._engine.connect() as db:
            found = db.execute(query.order_by(runs.run_id)).all()
        at_work = {row.worker for row in found if row.state == running}
        gone = {worker for worker in at_work if not self._workers.alive(worker)}
        return [row.run_id for row in found if row.state == requested or row.worker in gone]
