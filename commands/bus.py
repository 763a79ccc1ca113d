"""Runs commands: finds the handler, opens a session under the caller's envelope, and makes a repeat harmless."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from domain.errors import CommandReused
from domain.events import Envelope
from domain.ports import ConcurrentWrite, Session, Written

Handler = Callable[[Any, Session], Written]

ATTEMPTS = 8
"""How often a command is decided again when others write to the same aggregate at the same moment."""


class CommandLog(Protocol):
    """What became of earlier commands."""

    def outcome(self, command_id: UUID) -> tuple[Written, bytes | None] | None:
        """What that command wrote and its fingerprint; None when it wrote nothing (yet)."""


class CommandBus:
    def __init__(
        self,
        handlers: Mapping[type, Handler],
        open_session: Callable[[Envelope], Session],
        log: CommandLog,
    ) -> None:
        self._handlers = handlers
        self._open_session = open_session
        self._log = log

    def execute(self, command: object, envelope: Envelope) -> Written:
        """Decides and saves. A command id seen before answers as it did then and changes nothing.

        Raises what the handler raises, CommandReused for a known command id with another fingerprint, and
        ConcurrentWrite when the aggregate is contended beyond reason.
        """
        handle = self._handlers[type(command)]
        for attempt in range(ATTEMPTS):
            if done := self._earlier(envelope):
                return done
            try:
                return handle(command, self._open_session(envelope))
            except ConcurrentWrite:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _earlier(self, envelope: Envelope) -> Written | None:
        if envelope.command_id is None or not (seen := self._log.outcome(envelope.command_id)):
            return None
        written, fingerprint = seen
        if fingerprint != envelope.fingerprint:
            raise CommandReused("this Idempotency-Key was used for another request; choose a new one")
        return written
