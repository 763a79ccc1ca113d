"""Who is signed in. A browser holds a random id in an HttpOnly cookie; the token itself never gets there."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable

from ui.api import Api
from ui.keeping import Keeping, Lockers
from ui.session import Role, Session

IDLE_SECONDS = 12 * 3600.0
TOUCH_SECONDS = 300.0
"""A session that is used is written again so often, though nothing else changed."""
_ID = re.compile(r"[\w-]{43}", re.ASCII)


class Sessions:
    """All sign-ins, forgotten after twelve hours without use. May be used by several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._ended: set[str] = set()
        self._keeping: Keeping | None = None

    def keep_in(self, lockers: Lockers, open_api: Callable[[str], Api]) -> None:
        """From now on they outlive this process. `open_api`: the gateway, for a token."""
        self._keeping = Keeping(lockers, open_api, self._now)

    def open(self, api: Api) -> str:
        """Signs in with the API's token; returns the new session's id. Raises ApiError when the token is refused."""
        me = api.me()
        id = secrets.token_urlsafe(32)
        session = Session(api, me["subject"], Role[me["role"].upper()], id, used_at=self._now())
        with self._lock:
            self._forget_the_idle()
            self._sessions[id] = session
        self.keep(session)
        return id

    def find(self, ids: Iterable[str]) -> Session | None:
        """The first session among these ids that is still open. May wait for those that earlier processes kept."""
        ids = list(ids)
        with self._lock:
            self._forget_the_idle()
            known = next((self._sessions[id] for id in ids if id in self._sessions), None)
        return known or next(filter(None, map(self._reopened, ids)), None)

    def use(self, ids: Iterable[str]) -> Session | None:
        """The same, in the name of a person who does something: another twelve hours begin."""
        if session := self.find(ids):
            session.used_at = self._now()
            if session.used_at - session.kept_at > TOUCH_SECONDS:
                self.keep(session)
        return session

    def keep(self, session: Session) -> None:
        """Something about it is worth keeping, such as a draft."""
        session.kept_at = self._now()
        with self._lock:
            if self._keeping and session.id not in self._ended:
                self._keeping.keep(session)

    def close(self, session: Session) -> None:
        """Signs out, in every tab."""
        with self._lock:
            self._sessions.pop(session.id, None)
            self._ended.add(session.id)  # the lockers may still have it, while NATS is away
            if self._keeping:
                self._keeping.forget(session)

    def _reopened(self, id: str) -> Session | None:
        if self._keeping is None or not _ID.fullmatch(id) or (found := self._keeping.find(id)) is None:
            return None
        with self._lock:
            if id in self._ended or found.used_at < self._now() - IDLE_SECONDS:
                return None
            return self._sessions.setdefault(id, found)

    def _forget_the_idle(self) -> None:
        oldest = self._now() - IDLE_SECONDS
        self._sessions = {id: session for id, session in self._sessions.items() if session.used_at >= oldest}


SESSIONS = Sessions()
"""Shared by the door that signs people in and the script that Streamlit runs for them."""
