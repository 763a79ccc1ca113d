"""JSON bodies, strictly: no NaN or infinity, and no text that Postgres could not hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from domain.text import is_storable


class Body(BaseModel):
    """A request's body. What it holds beside its fields is refused, e.g. an actor."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrictRequest(Request):
    async def json(self) -> Any:
        """Raises JSONDecodeError, which FastAPI tells as a fault of the body."""
        body = await self.body()
        try:
            value = json.loads(body.decode(), parse_constant=_refuse_constant)
            if not _is_plain(value):
                raise ValueError(
                    "NUL, lone surrogates and numbers out of range cannot be stored; escape or remove them"
                )
        except json.JSONDecodeError:
            raise
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("the body is not UTF-8", "", error.start) from error
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), "", 0) from error
        return value


class StrictRoute(APIRoute):
    """A route whose handler reads its body as a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _is_plain(value: object) -> bool:
    match value:
        case str():
            return is_storable(value)
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_plain, value))
        case dict():
            return all(is_storable(key) and _is_plain(item) for key, item in value.items())
        case _:
            return True
