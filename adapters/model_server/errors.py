"""What a client can do wrong, in OpenAI's words: status, type, code and a text that says what to do."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal with its HTTP status. Subclasses fix status, type and code."""

    status = 500
    type = "server_error"
    code: str | None = None

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self) -> dict[str, Any]:
        """The JSON body that OpenAI's clients understand."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(ApiError):
    """The request cannot be served as it is."""

    status = 400
    type = "invalid_request_error"


class ContextTooLong(BadRequest):
    """Prompt and answer together do not fit into the model's context."""

    code = "context_length_exceeded"


class AdapterRefused(BadRequest):
    """The folder of that name holds no LoRA adapter that is safe to load; the text says why."""

    code = "adapter_refused"


class Unauthorized(ApiError):
    """No bearer token, or a wrong one."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class ModelNotFound(ApiError):
    """Neither the base model nor an adapter has that name."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class ServerBusy(ApiError):
    """Too many requests wait already."""

    status = 429
    type = "rate_limit_error"
    code = "queue_full"
