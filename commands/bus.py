"""Runs commands: finds the handler, opens a session under the caller's envelope, and makes a repeat harmless."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from domain.errors import CommandReused
from domain.events import Envelope
from domain.ports.events import ConcurrentWrite, Session, Written

Handler = Callable[[Any, Session], Written]
Pause = Callable[[float], None]

ATTEMPTS = 20
"""How often a command is decided when others write to the same aggregate at the same moment."""
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
"""Seconds at most between two attempts. Of those who collide one wins: the others must not come back all at once."""


class CommandLog(Protocol):
    """What became of earlier commands."""

    def outcome(self, command_id: UUID) -> tuple[Written, bytes | None] | None:
        """What that command was answered and its fingerprint; None when it was never executed, or changed nothing and
        has no fingerprint: only clients send a command again."""


class CommandBus:
    def __init__(
        self,
        handlers: Mapping[type, Handler],
        open_session: Callable[[Envelope], AbstractContextManager[Session]],
        log: CommandLog,
        pause: Pause = time.sleep,
    ) -> None:
        """`pause` waits for so many seconds."""
        self._handlers = handlers
        self._open_session = open_session
        self._log = log
        self._pause = pause

    def execute(self, command: object, envelope: Envelope) -> Written:
        """Decides and saves. A command id seen before answers as it did then and changes nothing.

        A command without an id gets one, so that a reply lost at COMMIT is told from a conflict.

        Raises what the handler raises, CommandReused for a known command id with another fingerprint, and
        ConcurrentWrite when the aggregate is contended beyond reason.
        """
        handle = self._handlers[type(command)]
        known = envelope.command_id is not None
        command_id = envelope.command_id or uuid7()
        envelope = replace(envelope, command_id=command_id)
        for attempt in range(ATTEMPTS):
            if (known or attempt) and (done := self._earlier(command_id, envelope.fingerprint)):
                return done
            try:
                with self._open_session(envelope) as session:
                    return handle(command, session)
            except ConcurrentWrite:
                if attempt == ATTEMPTS - 1:
                    raise
                longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
                self._pause(random.uniform(0, longest))  # noqa: S311 - a guess at it harms nobody
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _earlier(self, command_id: UUID, fingerprint: bytes | None) -> Written | None:
        seen = self._log.outcome(command_id)
        if seen is None:
            return None
        written, first_fingerprint = seen
        if first_fingerprint != fingerprint:
            raise CommandReused
        return written
