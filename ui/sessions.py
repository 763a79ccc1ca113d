"""Who is signed in. A browser holds a random id in an HttpOnly cookie; the token itself never leaves this process."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ui.api import Api

IDLE_SECONDS = 12 * 3600.0


class Role(IntEnum):
    """The API's roles: each may do what the ones before it may."""

    VIEWER = 0
    ANNOTATOR = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(slots=True)
class Session:
    """One sign-in. `drafts` holds what was put into a form and not sent yet, by the name of its field, so that a reload
    keeps it."""

    api: Api
    subject: str
    role: Role
    drafts: dict[str, Any] = field(default_factory=dict)
    used_at: float = 0.0


class Sessions:
    """All sign-ins of this process, forgotten after twelve hours without use. May be used by several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(self, api: Api) -> str:
        """Signs in with the API's token; returns the new session's id. Raises ApiError when the token is refused."""
        me = api.me()
        session = Session(api, me["subject"], Role[me["role"].upper()], used_at=self._now())
        id = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_the_idle()
            self._sessions[id] = session
        return id

    def find(self, ids: Iterable[str]) -> Session | None:
        """The first session among these ids that is still open."""
        with self._lock:
            self._forget_the_idle()
            return next((self._sessions[id] for id in ids if id in self._sessions), None)

    def use(self, ids: Iterable[str]) -> Session | None:
        """The same, in the name of a person who does something: another twelve hours begin."""
        if session := self.find(ids):
            session.used_at = self._now()
        return session

    def close(self, session: Session) -> None:
        """Signs out, in every tab."""
        with self._lock:
            self._sessions = {id: other for id, other in self._sessions.items() if other is not session}

    def _forget_the_idle(self) -> None:
        oldest = self._now() - IDLE_SECONDS
        self._sessions = {id: session for id, session in self._sessions.items() if session.used_at >= oldest}


SESSIONS = Sessions()
"""Shared by the door that signs people in and the script that Streamlit runs for them."""
