"""Ends the runs and trainings that no worker gets on with. The sweep takes over what has lost its worker; what that
does not bring back to life must not look as if it ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.held_job import Attempt
from commands.training import FailTraining
from commands.workflows import FailWorkflow
from domain.errors import AlreadyDone, LeaseLost
from domain.events import Actor, Recorded
from domain.job import Json
from domain.ports.events import Clock, EventLog, Execute


@dataclass(frozen=True, slots=True)
class Work:
    """One sort of work: what of it runs, what of that has lost its worker, and how it fails for a reason. `started`
    is recorded when a worker takes it, `tries` are events that say nothing of its getting on."""

    name: str
    running: Callable[[], Sequence[UUID]]
    abandoned: Callable[[], Sequence[UUID]]
    started: str
    tries: frozenset[str]
    fail: Callable[[UUID, int, str], object]


def work_of_runs(running: Callable[[], Sequence[UUID]], abandoned: Callable[[], Sequence[UUID]]) -> Work:
    """Workflow runs."""
    tries = frozenset({"workflow.started", "workflow.step_begun"})
    return Work("runs", running, abandoned, "workflow.started", tries, FailWorkflow)


def work_of_trainings(running: Callable[[], Sequence[UUID]], abandoned: Callable[[], Sequence[UUID]]) -> Work:
    """Training runs."""
    tries = frozenset({"training_run.started"})
    return Work("trainings", running, abandoned, "training_run.started", tries, FailTraining)


class EndOrphans:
    """`up_since` is when this worker began. Work counts as left alone only while there was somebody who could have
    taken it: a Caravan that was off for a night resumes in the morning what it was doing."""

    def __init__(
        self,
        log: EventLog,
        execute: Execute,
        kinds: Sequence[Work],
        actor: Actor,
        clock: Clock,
        up_since: datetime,
    ) -> None:
        self._log = log
        self._execute = execute
        self._kinds = kinds
        self._actor = actor
        self._clock = clock
        self._up_since = up_since

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """The ids that were ended, by the sort of work."""
        ended: Json = {}
        for work in self._kinds:
            attempt.heartbeat(f"looks at {work.name}")
            running, abandoned = work.running(), frozenset(work.abandoned())
            reasons = {id: self._reason(work, id, id in abandoned, payload) for id in running}
            ended[work.name] = [str(id) for id, reason in reasons.items() if reason and self._end(work, id, reason)]
        return ended

    def _reason(self, work: Work, id: UUID, abandoned: bool, payload: Json) -> str | None:
        """Why it is an orphan, if it is one."""
        history = self._log.history(id)
        since = takewhile(lambda recorded: recorded.type in work.tries, reversed(history))
        takeovers = sum(recorded.type == work.started for recorded in since)
        if takeovers > payload["takeovers"]:
            return f"orphaned: it was started {takeovers} times in a row without getting on"
        alone_since = max(self._up_since, history[-1].recorded_at)
        patience = timedelta(minutes=payload["idle_minutes"])
        if abandoned and self._clock() - alone_since > patience:
            return f"orphaned: its worker is gone, and nobody took it over within {payload['idle_minutes']} minutes"
        return None

    def _end(self, work: Work, id: UUID, reason: str) -> bool:
        history: Sequence[Recorded] = self._log.history(id)
        envelope = history[0].followed_by(self._actor, uuid5(id, f"orphaned/{len(history)}"))
        try:
            self._execute(work.fail(id, _epoch(history, work.started), reason), envelope)
        except (AlreadyDone, LeaseLost):  # somebody took it meanwhile
            return False
        logger.warning("{} {} was ended: {}", work.name, id, reason)
        return True


def _epoch(history: Sequence[Recorded], started: str) -> int:
    """That of the last start."""
    last = next(recorded.event for recorded in reversed(history) if recorded.type == started)
    return int(last.epoch)  # type: ignore[attr-defined]  # both sorts of start have one
