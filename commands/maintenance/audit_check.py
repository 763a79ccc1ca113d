"""Verifies the seals of what was sealed since the last check that found nothing wrong."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from commands.policies.held_job import Attempt, PermanentFailure
from domain.job import Json

Verify = Callable[[Json | None, Callable[[int, int], None]], Json]
"""From where an earlier report ended (None: from the first event on); tells how many events were read, of how many."""


class CheckAudit:
    """`last` gives the report of the last check; `verify` makes one, whose `problem` says what is wrong, if any."""

    def __init__(self, last: Callable[[], Json | None], verify: Verify) -> None:
        self._last = last
        self._verify = verify

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """The report. Raises PermanentFailure where the log was tampered with: nobody overlooks a dead letter."""
        since = None if payload["everything"] else self._last()
        report = self._verify(since, lambda done, total: attempt.heartbeat(f"{done:,} of {total:,} events"))
        if report["problem"]:
            logger.error("the log was tampered with at position {}: {}", report["position"], report["problem"])
            raise PermanentFailure(f"at position {report['position']}: {report['problem']}")
        return report
