"""How the database's libraries say that it is gone, and that it lacks our tables."""

from __future__ import annotations

from eventsourcing import persistence
from sqlalchemy import exc

from projections.failures import OUTAGES

__all__ = ["NOT_MIGRATED", "OUTAGES"]

NOT_MIGRATED: tuple[type[Exception], ...] = (persistence.ProgrammingError, exc.ProgrammingError)
