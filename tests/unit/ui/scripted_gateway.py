"""A real HTTP server with a script in a gateway's place: it notes each request and gives what stands at its path, or
else the next answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedGateway:
    url: str
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    standing: dict[str, Any] = field(default_factory=dict)
    """By path, without the query: what is there whenever it is read."""

    def answer_to(self, request: Request) -> tuple[int, Any]:
        """Status and body."""
        place = urlsplit(request.path).path
        if request.method == "GET" and place in self.standing:
            return 200, self.standing[place]
        return self.answers.pop(0)

    def answers_with(self, *bodies: Any, status: int = 200) -> None:
        self.answers.extend((status, body) for body in bodies)


@contextmanager
def scripted_gateway() -> Iterator[ScriptedGateway]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            size = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            gateway.requests.append(Request(self.command, self.path, headers, self.rfile.read(size)))
            status, body = gateway.answer_to(gateway.requests[-1])
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if urlsplit(self.path).path.endswith("/stream"):
                self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        gateway = ScriptedGateway(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
        thread.start()
        yield gateway
        server.shutdown()
