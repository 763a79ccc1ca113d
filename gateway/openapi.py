"""The OpenAPI document: FastAPI's own, with problems in place of its errors and the headers that all answers share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway.auth import OPEN_PATHS, needed_role
from gateway.errors import Problem, responses

COMMANDS = frozenset({"post", "put", "delete"})
HEADERS = {
    "X-Caravan-Position": {
        "description": "Where the log stands after the command; any read takes it as `after`",
        "schema": {"type": "integer"},
    }
}
LOCATION = {"Location": {"description": "Where the result can be read", "schema": {"type": "string"}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of that app, made once."""
    if app.openapi_schema is None:
        document = app.openapi()
        schemas = document["components"]["schemas"]
        for left_over in ("HTTPValidationError", "ValidationError"):
            schemas.pop(left_over, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        for route in iter_route_contexts(app.routes):
            for method in route.methods or ():
                if role := needed_role(route):
                    document["paths"].get(route.path, {}).get(method.lower(), {})["x-required-role"] = role.value
        app.openapi_schema = document
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    if path in OPEN_PATHS:
        return
    common = [401, 403, 422, 500]
    if path.startswith("/v1"):
        common.append(503)
    if method in COMMANDS:
        common += [409, 413]
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        common.append(415)
    for status, answer in responses(*common).items():
        answers.setdefault(str(status), answer)
    for status, answer in answers.items():
        if status.startswith("2") and method in COMMANDS:
            answer["headers"] = HEADERS | (LOCATION if status in ("201", "202") else {})
