"""An OpenAI-compatible endpoint that says what a test wants, for the length of a `with`."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Response
from fastapi.responses import StreamingResponse

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class ScriptedEndpoint:
    """Answers the first requests with `failures` times the `failure`, a status and what it says of it, later ones with
    `says` and what is `beside` it, or a redirect.
    `requests` are all bodies, `keys` what was sent with them as authorization.

    Asked to stream it does what `streaming` says: `yes`, word by word, each once `words` lets it; `uncounted`, without
    the usage; `ignored`, it answers at once; `refused`. The first `broken` streams break off after a word.

    Where it is offered tools it asks for those that are next in `wants`, each a name and arguments; with none left it
    answers."""

    says: str
    failures: int = 0
    failure: tuple[int, str] = (503, "restarting")
    refuses_schemas: bool = False
    streaming: str = "yes"
    broken: int = 0
    words: threading.Semaphore | None = None
    redirects_to: str = ""
    beside: dict[str, Any] = field(default_factory=dict)
    wants: list[list[tuple[str, str]]] = field(default_factory=list)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def reply(self, body: dict[str, Any]) -> Response:
        self.requests.append(body)
        if len(self.requests) <= self.failures:
            status, said = self.failure
            return _json({"error": {"message": said}}, status)
        if self.refuses_schemas and "response_format" in body:
            return _json({"error": {"message": "response_format is not supported"}}, 400)
        if self.redirects_to:
            return Response(status_code=307, headers={"Location": f"{self.redirects_to}/chat/completions"})
        if body.get("stream") and self.streaming == "refused":
            return _json({"error": {"message": "stream is not supported"}}, 400)
        message: dict[str, Any] = {"role": "assistant", "content": self.says}
        if body.get("tools") and self.wants:
            message["tool_calls"] = [
                {"id": f"id-{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for n, (name, arguments) in enumerate(self.wants.pop(0))
            ]
        if body.get("stream") and self.streaming != "ignored":
            return StreamingResponse(self._stream(message.get("tool_calls", [])), media_type="text/event-stream")
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        completion = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        completion |= {"usage": USAGE}
        return _json(completion | self.beside)

    def _stream(self, tools: list[dict[str, Any]]) -> Iterator[str]:
        """Server-sent events, as from OpenAI."""
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        for word in re.findall(r"\s*\S+|\s+$", self.says):
            if self.words:
                self.words.acquire(timeout=120)
            yield _sse(chunk | {"choices": [{"index": 0, "delta": {"content": word}}]})
            if self.broken:
                self.broken -= 1
                yield _sse({"error": {"message": "stopping"}})
                return
        for n, tool in enumerate(tools):
            name, arguments = tool["function"]["name"], tool["function"]["arguments"]
            begun = tool | {"function": {"name": name, "arguments": arguments[:3]}}
            for piece in (begun, {"function": {"arguments": arguments[3:]}}):
                yield _sse(chunk | {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n, **piece}]}}]})
        yield _sse(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if self.streaming == "yes":
            yield _sse(chunk | {"choices": [], "usage": USAGE} | self.beside)
        yield "data: [DONE]\n\n"

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


def _sse(content: object) -> str:
    return f"data: {json.dumps(content)}\n\n"


def _json(content: object, status: int = 200) -> Response:
    """In ASCII, so that a lone surrogate travels as its JSON escape, as it does from real servers."""
    return Response(json.dumps(content), status, media_type="application/json")
