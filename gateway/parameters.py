"""Query parameters, strictly: one that a route does not know is most likely a misspelt one that it does."""

from __future__ import annotations

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.requests import HTTPConnection

from gateway.faults import UNKNOWN_PARAMETER


def refuse_unknown(connection: HTTPConnection, dependant: Dependant) -> None:
    """Raises RequestValidationError for parameters that a route of these dependencies does not declare."""
    if not connection.scope["query_string"]:
        return
    known = sorted(_names(dependant))
    unknown = [name for name in connection.query_params if name not in known]
    if unknown:
        context = {"known": known}
        raise RequestValidationError(
            [{"type": UNKNOWN_PARAMETER, "loc": ("query", name), "msg": "", "ctx": context} for name in unknown]
        )


async def only_known(connection: HTTPConnection) -> None:
    """The dependency of a route that is no StrictRoute, i.e. of a WebSocket's."""
    refuse_unknown(connection, connection.scope["route"].dependant)


def _names(dependant: Dependant) -> set[str]:
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_names, dependant.dependencies))
