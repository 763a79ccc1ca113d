"""Query parameters, strictly: one that a route does not know is most likely a misspelt one that it does."""

from __future__ import annotations

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.requests import HTTPConnection

from gateway.faults import UNKNOWN_PARAMETER


async def _only_known(connection: HTTPConnection) -> None:
    if not connection.query_params:
        return
    known = sorted(_names(connection.scope["route"].dependant))
    unknown = [name for name in connection.query_params if name not in known]
    if unknown:
        context = {"known": known}
        raise RequestValidationError(
            [{"type": UNKNOWN_PARAMETER, "loc": ("query", name), "msg": "", "ctx": context} for name in unknown]
        )


ONLY_KNOWN_PARAMETERS = Depends(_only_known)
"""The dependency of a router whose routes refuse every query parameter that they do not declare."""


def _names(dependant: Dependant) -> set[str]:
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_names, dependant.dependencies))
