"""How the gateway is served: one process, one event loop, and sockets for many viewers of one stream."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.settings import Settings

GRACE_SECONDS = 5
IDLE_SECONDS = 75
"""How long a connection without requests is kept. Clients and reverse proxies end theirs sooner (httpx after 5 s, nginx
after 60): whoever ends it second may send a request into its end."""
UNREAD_BYTES = 256 * 1024
"""What the system may hold of a WebSocket's frames (Linux takes twice that). By itself it would take in megabytes, and
a client that does not read would be found out minutes later."""
PONG_SECONDS = 40.0
"""How long a ping may go unanswered. Who stops reading is told first that events pile up, if they do."""
CLOSE_SECONDS = 10.0
"""How long a client may take to read its close code, before its connection is cut."""

ENCODED = "caravan.encoded"
"""The ASGI extension for frames that are encoded already: `write` them, which never waits; once it is
not `writable` any more, because the client takes nothing, wait until it is `drained`."""


def server_of(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """Listens where the settings say, once it is run."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws=StreamSocket,
            ws_per_message_deflate=False,
            ws_ping_timeout=PONG_SECONDS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


class StreamSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, and two things that ASGI has no words for: many frames, encoded once for all clients, are
    written at once; and who does not read is told why and then cut off, whatever it has still to read."""

    async def run_asgi(self) -> None:
        """Tells the application what it may do."""
        self.scope["extensions"] = {
            **(self.scope.get("extensions") or {}),
            ENCODED: {"write": self.write, "writable": self.writable.is_set, "drained": self.writable.wait},
        }
        await super().run_asgi()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """By the upgrade of an HTTP connection."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)

    def write(self, frames: bytes) -> None:
        """To nobody, where the client is gone: the application is told so as ever."""
        if not (self.disconnected or self.close_sent):
            self.transport.write(frames)

    async def send(self, message: Any) -> None:
        """ASGI."""
        if message["type"] != "websocket.close" or not self.handshake_complete:
            await super().send(message)
            return
        self.writable.set()  # or the close frame would wait until all before it is read
        await super().send(message)
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Nobody answers pings."""
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
