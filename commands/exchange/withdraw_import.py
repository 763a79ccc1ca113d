"""The job that takes an import back: every pair that it added is withdrawn, whatever people said of it since. Nothing
is erased, and the same file imported again does not bring them back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from commands.imports import WithdrawPreferences
from commands.job_kinds import IMPORT
from commands.policies.held_job import Attempt, PermanentFailure
from domain.events import Actor, Recorded, topic_of
from domain.job import Job, Json
from domain.ports.events import EventLog, Execute
from domain.preference import Preference

TOGETHER = 200
"""Of one command: it is one transaction."""
PROPOSED, WITHDRAWN = topic_of(Preference.Proposed), topic_of(Preference.Withdrawn)


class WithdrawImport:
    """Repeating it changes nothing."""

    def __init__(self, log: EventLog, execute: Execute, actor: Actor) -> None:
        self._log = log
        self._execute = execute
        self._actor = actor

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """How many pairs the import had added, all withdrawn now. Raises PermanentFailure where there is no such
        import, or it goes on."""
        (asked, *_) = self._log.history(attempt.job)
        import_id = UUID(payload["import_id"])
        added, standing = self._pairs(self._import(import_id), attempt)
        for n in range(0, len(standing), TOGETHER):
            if attempt.called_off:
                break
            some = standing[n : n + TOGETHER]
            self._execute(WithdrawPreferences(tuple(some), payload["reason"]), asked.followed_by(self._actor))
            done = n + len(some)
            attempt.heartbeat(f"{done / len(standing):.0%}: {done:,} of {len(standing):,} pairs withdrawn")
        return {**payload, "withdrawn": added}

    def _import(self, id: UUID) -> Recorded:
        """With what it began."""
        history = self._log.history(id)
        if not history or not isinstance(asked := history[0].event, Job.Requested) or asked.kind != IMPORT:
            raise PermanentFailure(f"there is no import {id}")
        if not isinstance(history[-1].event, Job.Succeeded | Job.DeadLettered | Job.Cancelled):
            raise PermanentFailure(f"import {id} is not over: cancel it first, or wait for its end")
        return history[0]

    def _pairs(self, asked: Recorded, attempt: Attempt) -> tuple[int, Sequence[UUID]]:
        """How many pairs the import added, and those of them that stand."""
        found: dict[UUID, None] = {}
        added = 0
        for recorded in self._log.read(after=asked.position, topics=(PROPOSED, WITHDRAWN)):
            attempt.heartbeat()
            match recorded.event:
                case Preference.Proposed(originator_id=id, source=source) if source:
                    if source.import_id == asked.event.originator_id:
                        found[id] = None
                        added += 1
                case Preference.Withdrawn(originator_id=id):
                    found.pop(id, None)
        return added, list(found)
