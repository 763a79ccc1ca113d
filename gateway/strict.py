"""Requests, strictly: no parameters that a route does not know, and in JSON bodies no NaN or infinity, and no text that
Postgres could not hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from domain.text import is_storable
from gateway.auth import with_highest_role
from gateway.faults import NOT_STORABLE, TOO_DEEP, Location
from gateway.parameters import refuse_unknown


class Body(BaseModel):
    """A request's body. What it holds beside its fields is refused, e.g. an actor."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Unfit(json.JSONDecodeError):
    """JSON that cannot be kept: what kind of fault, and where. FastAPI lets no other error out of a body."""

    def __init__(self, kind: str, path: Location = ()) -> None:
        super().__init__(kind, "", 0)
        self.fault = {"type": kind, "loc": ("body", *path), "msg": kind}


class StrictRequest(Request):
    async def json(self) -> Any:
        """Raises JSONDecodeError, which FastAPI tells as a fault of the body; of its kinds Unfit."""
        body = await self.body()
        try:
            value = _DECODER.decode(body.decode())
            _check(value, ())
        except json.JSONDecodeError:
            raise
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("the body is not UTF-8", "", error.start) from error
        except RecursionError as error:
            raise Unfit(TOO_DEEP) from error
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error
        return value


class StrictRoute(APIRoute):
    """A route that refuses every query parameter that it does not declare, and reads its body as a StrictRequest. It
    asks for the highest of the roles that it and its router need."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, dependencies: Sequence[Depends] | None = None, **options: Any
    ) -> None:
        super().__init__(path, endpoint, dependencies=with_highest_role(dependencies or ()), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            refuse_unknown(request, self.dependant)
            try:
                return await handle(StrictRequest(request.scope, request.receive))
            except RequestValidationError as error:
                if isinstance(error.__cause__, Unfit):
                    raise RequestValidationError([error.__cause__.fault]) from error
                raise

        return handle_strictly


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise ValueError(f"a number of {len(digits)} digits is too long") from error


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole)


def _check(value: object, path: tuple[int | str, ...]) -> None:
    match value:
        case str() if not is_storable(value):
            raise Unfit(NOT_STORABLE, path)
        case float() if not math.isfinite(value):
            raise Unfit(NOT_STORABLE, path)
        case list():
            for index, item in enumerate(value):
                _check(item, (*path, index))
        case dict():
            for key, item in value.items():
                _check(key, path)
                _check(item, (*path, key))
