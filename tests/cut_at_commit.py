"""A TCP proxy that, once it is armed, swallows the server's reply to the next COMMIT and cuts that connection.

To the client it looks as if the server died; the transaction is committed all the same. It is the hardest moment of any
database client, and the reason why commands carry ids.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class CutAtCommit:
    """In front of the server at `port` of this machine; listens at `self.port`."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._armed = threading.Event()
        self.cuts = 0

    def arm(self) -> None:
        """The next COMMIT's reply is lost; the ones after it are not."""
        self._armed.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._pump, args=[client, server], daemon=True).start()
                threading.Thread(target=self._pump, args=[server, client, True], daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, from_server: bool = False) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                if from_server and self._armed.is_set() and b"COMMIT\0" in data:
                    self._armed.clear()
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
