"""When a cron expression is due, by cronsim: crontab(5) as Debian's cron reads it, in UTC."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim, CronSimError

from domain.errors import Invalid


class Cron:
    """Fulfils domain.ports.jobs.Calendar."""

    def check(self, cron: str) -> None:
        """Raises Invalid for what is no cron expression of five fields."""
        if len(cron.split()) != 5:
            raise Invalid(f"{cron!r} is no cron expression: it has five fields, e.g. `30 3 * * *` for half past three")
        try:
            CronSim(cron, datetime(2000, 1, 1))
        except CronSimError as error:
            raise Invalid(f"{cron!r} is no cron expression: {error}") from error

    def last(self, cron: str, now: datetime) -> datetime | None:
        """The last moment up to now, itself included, at which it was due."""
        return next(CronSim(cron, now.replace(microsecond=1), reverse=True), None)

    def next(self, cron: str, now: datetime) -> datetime | None:
        """The first moment after now at which it is due; None where there is none in many years."""
        return next(CronSim(cron, now), None)
