"""An OpenAI-compatible endpoint that says what a test wants, for the length of a `with`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Response


@dataclass
class ScriptedEndpoint:
    """Answers the first requests with `failures` times 503, later ones with `says` and what is `beside` it.
    `requests` are all bodies, `keys` what was sent with them as authorization."""

    says: str
    failures: int = 0
    refuses_schemas: bool = False
    beside: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def reply(self, body: dict[str, Any]) -> Response:
        self.requests.append(body)
        if len(self.requests) <= self.failures:
            return _json({"error": {"message": "restarting"}}, 503)
        if self.refuses_schemas and "response_format" in body:
            return _json({"error": {"message": "response_format is not supported"}}, 400)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.says}, "finish_reason": "stop"}
        completion = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return _json(completion | self.beside)

    @contextmanager
    def up(self) -> Iterator[ScriptedEndpoint]:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        def chat(body: dict[str, Any], authorization: Annotated[str, Header()]) -> Response:
            self.keys.append(authorization)
            return self.reply(body)

        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield self
        server.should_exit = True
        thread.join(10)


def _json(content: object, status: int = 200) -> Response:
    """In ASCII, so that a lone surrogate travels as its JSON escape, as it does from real servers."""
    return Response(json.dumps(content), status, media_type="application/json")
