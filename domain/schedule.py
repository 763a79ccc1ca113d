"""Periodic jobs: what is asked for again and again, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from domain.job import Json

NAMESPACE = UUID("7d6f1c1e-52a7-5f0b-9d0c-5b6a2f2d9a11")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job of that kind, whenever `cron` says so: as in crontab(5), in UTC."""

    name: str
    kind: str
    cron: str
    payload: Json = field(default_factory=dict)

    def job_at(self, tick: datetime) -> UUID:
        """The id of the job of that moment: whoever asks for it, and however often, there is one."""
        return uuid5(NAMESPACE, f"{self.name}/{tick.isoformat()}")
