"""What an error of the database says: that it refuses a value, that it is gone, or something else."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

BEYOND_LIMITS = "54"
"""The class of SQLSTATE of, for example, a value too long for an index: psycopg calls it an OperationalError."""
UNABLE = {"08", "53", "57", "58"}
"""Those of a server that has lost us, lacks disk or connections, shuts down, or has trouble with its machine."""


def is_refusal(error: Exception) -> bool:
    """Whether PostgreSQL cannot hold some value: not a lost connection, not a missing table."""
    match error:
        case DataError() | IntegrityError() | ValueError():
            return True
        case OperationalError():
            return _sqlstate_class(error) == BEYOND_LIMITS
        case _:
            return False


def is_outage(error: Exception) -> bool:
    """Whether nothing can be done with the database at the moment, whatever the statement."""
    match error:
        case OperationalError() | InterfaceError():
            return _sqlstate_class(error) in {"", *UNABLE}
        case _:
            return False


def _sqlstate_class(error: DBAPIError) -> str:
    """Empty where the server did not get to say anything."""
    return (getattr(error.orig, "sqlstate", None) or "")[:2]
