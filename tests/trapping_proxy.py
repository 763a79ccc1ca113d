"""A TCP proxy in front of PostgreSQL that, once armed, swallows the reply to the next append and cuts that connection.

To the client it looks as if the server died; the events are committed all the same. It is the hardest moment of any
database client, and the reason why commands carry ids. Other replies, and other things to do at them, can be named.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

APPENDED = "CALL"
"""Events were written and committed: nothing but `append_events` is called."""
TAG = re.compile(rb"C\0\0\0.([A-Z0-9 ]+)\0", re.DOTALL)
"""The server's CommandComplete message: what it has done, e.g. `INSERT 0 3`."""
REMEMBERED = 32
"""Replies of a connection."""


@dataclass(frozen=True, slots=True)
class Trap:
    """What happens when the server has said `replies` over one connection: a regular expression of what it did, as in
    `BEGIN; INSERT 0 3`. The last reply is swallowed, and the connection cut, where `cuts`."""

    replies: str = APPENDED
    then: Callable[[], object] = lambda: None
    cuts: bool = True

    def catches(self, said: str) -> bool:
        """Whether that is how the server's replies end."""
        return re.search(rf"\b(?:{self.replies})$", said) is not None


class TrappingProxy:
    """In front of the server at that port of this machine, or at that unix socket; listens at `self.port`."""

    def __init__(self, server: int | Path) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._trap: Trap | None = None
        self._lock = threading.Lock()
        self.cuts = 0

    def arm(self, trap: Trap | None = None) -> None:
        """For the next one, and only that one."""
        self._trap = trap or Trap()

    @property
    def is_armed(self) -> bool:
        """Whether nothing has come into the trap yet."""
        return self._trap is not None

    def disarm(self) -> None:
        """As if it had never been armed."""
        self._trap = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = self._connect()
                except OSError:  # the server is down: so is this
                    client.close()
                    continue
                threading.Thread(target=self._pump, args=[client, server], daemon=True).start()
                said = deque[str](maxlen=REMEMBERED)
                threading.Thread(target=self._pump, args=[server, client, said], daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._server, int):
            return socket.create_connection(("127.0.0.1", self._server))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._server))
        return server

    def _pump(self, source: socket.socket, target: socket.socket, said: deque[str] | None = None) -> None:
        """`said`: what the server has done so far, where it is the source."""
        with source, target:
            with suppress(OSError):
                while data := source.recv(65536):
                    if said is not None and self._is_trapped(data, said):
                        break
                    target.sendall(data)
            for each in (source, target):  # closing alone would leave whoever still reads from it waiting
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _is_trapped(self, data: bytes, said: deque[str]) -> bool:
        with self._lock:
            for tag in TAG.findall(data):
                said.append(tag.decode())
                trap = self._trap
                if trap and trap.catches("; ".join(said)):
                    trap.then()
                    self._trap = None
                    self.cuts += trap.cuts
                    return trap.cuts
        return False
