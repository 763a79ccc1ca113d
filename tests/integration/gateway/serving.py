"""A gateway behind a real uvicorn, for what needs a real connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp

from gateway.serving import StreamSocket, server_of
from gateway.settings import Settings


@contextmanager
def served(app: ASGIApp, ws: Any = StreamSocket) -> Iterator[str]:
    """The `host:port` where the app answers; `ws` is what uvicorn shall speak WebSocket with."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = server_of(app, Settings())
        server.config.timeout_graceful_shutdown, server.config.ws = 1, ws
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
            if not thread.is_alive():
                raise RuntimeError("uvicorn did not start")
        host, port = listener.getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
        thread.join(10)
