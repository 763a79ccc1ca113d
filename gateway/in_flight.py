"""Which clients' commands this process is at work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import UUID

from domain.errors import CommandReused
from domain.events import Envelope
from gateway.errors import InFlight


class CommandsInFlight:
    """Threads may share it. Other processes have their own: there the event store lets one effect happen, and gives
    both the same answer."""

    def __init__(self) -> None:
        self._fingerprints: dict[UUID, bytes] = {}
        self._lock = Lock()

    @contextmanager
    def alone(self, envelope: Envelope) -> Iterator[None]:
        """No repeat of this command is begun before the block ends, however it ends. Commands without a client's key
        pass.

        Raises InFlight for a repeat, and CommandReused for another request under the same key.
        """
        id, fingerprint = envelope.command_id, envelope.fingerprint
        if id is None or fingerprint is None:
            yield
            return
        with self._lock:
            if running := self._fingerprints.get(id):
                raise InFlight if running == fingerprint else CommandReused
            self._fingerprints[id] = fingerprint
        try:
            yield
        finally:
            del self._fingerprints[id]
