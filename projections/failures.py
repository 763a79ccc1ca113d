"""What an error of the database says: that it refuses a value, that it is gone, or something else."""

from __future__ import annotations

import psycopg
from eventsourcing import persistence
from sqlalchemy import exc

OUTAGES: tuple[type[Exception], ...] = (
    persistence.OperationalError,
    persistence.InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    exc.OperationalError,
    exc.InterfaceError,
    exc.PendingRollbackError,
    exc.TimeoutError,
)
"""How the libraries say that the database is restarting, gone, or out of connections; among other things."""
BEYOND_LIMITS = "54"
"""The class of SQLSTATE of, for example, a value too long for an index: psycopg calls it an OperationalError."""
UNABLE = {"", "08", "53", "57", "58"}
"""Those of a server that has lost us, lacks disk or connections, shuts down, or has trouble with its machine; empty
where it did not get to say anything."""


def is_refusal(error: Exception) -> bool:
    """Whether PostgreSQL cannot hold some value: not a lost connection, not a missing table."""
    match error:
        case exc.DataError() | exc.IntegrityError() | ValueError():
            return True
        case exc.OperationalError() | psycopg.OperationalError():
            return _sqlstate_class(error) == BEYOND_LIMITS
        case _:
            return False


def is_outage(error: Exception) -> bool:
    """Whether nothing can be done with the database at the moment, whatever the statement."""
    return isinstance(error, OUTAGES) and _sqlstate_class(error) in UNABLE


def _sqlstate_class(error: Exception) -> str:
    said = getattr(error, "orig", None) or error
    return (getattr(said, "sqlstate", None) or "")[:2]
