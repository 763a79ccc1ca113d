"""Sessions that outlive the console's process, in lockers that only the browser's cookie opens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from ui.api import Api
from ui.session import Role, Session

PACE_SECONDS = 0.5
"""What changes meanwhile is written once."""
RETRY_SECONDS = 5.0
MOST_BYTES = 500_000
"""Of a session's drafts, as a locker takes no more than a megabyte. Larger ones live as long as the process."""


class Lockers(Protocol):
    """Values, each under a secret of its own. Nothing here fails: what cannot be had is not there."""

    def get(self, secret: str, /) -> bytes | None: ...

    def put(self, secret: str, value: bytes, /) -> bool: ...

    def delete(self, secret: str, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Written:
    """What lies in a locker. `used_at`: seconds since 1970."""

    token: str
    subject: str
    role: Role
    drafts: dict[str, Any]
    used_at: float


_FORM = TypeAdapter(_Written)


class Keeping:
    """`open_api`: the gateway, for a token. `now`: the clock by which sessions grow old. What is to be written waits
    until it can be."""

    def __init__(self, lockers: Lockers, open_api: Callable[[str], Api], now: Callable[[], float]) -> None:
        self._lockers = lockers
        self._open_api = open_api
        self._now = now
        self._lock = threading.Lock()
        self._due: dict[str, Session | None] = {}
        self._something, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._write, name="keep-sessions", daemon=True).start()

    def find(self, id: str) -> Session | None:
        """The session of an earlier process, or another one's."""
        if (found := self._lockers.get(id)) is None:
            return None
        try:
            known = _FORM.validate_json(found)
        except ValidationError:
            return None
        used_at = self._now() - max(0.0, time.time() - known.used_at)
        return Session(self._open_api(known.token), known.subject, known.role, id, known.drafts, used_at, used_at)

    def keep(self, session: Session) -> None:
        """As it will be in a moment."""
        self._soon(session.id, session)

    def forget(self, session: Session) -> None:
        """It has ended, which is written at once: the cookie must not open it any more."""
        self._soon(session.id, None)
        self._ended.set()

    def _soon(self, id: str, session: Session | None) -> None:
        with self._lock:
            self._due[id] = session
        self._something.set()

    def _write(self) -> None:
        while True:
            self._something.wait()
            self._ended.wait(PACE_SECONDS)
            self._ended.clear()
            self._something.clear()
            with self._lock:
                due, self._due = self._due, {}
            left = {id: session for id, session in due.items() if not self._done(id, session)}
            if left:
                time.sleep(RETRY_SECONDS)
                with self._lock:
                    self._due = left | self._due
                self._something.set()

    def _done(self, id: str, session: Session | None) -> bool:
        return self._lockers.delete(id) if session is None else self._lockers.put(id, self._written(session))

    def _written(self, session: Session) -> bytes:
        used_at = time.time() - (self._now() - session.used_at)
        drafts = json.dumps(dict(session.drafts), default=str)
        known = _Written(
            token=session.api.token,
            subject=session.subject,
            role=session.role,
            drafts=json.loads(drafts) if len(drafts) <= MOST_BYTES else {},
            used_at=used_at,
        )
        return _FORM.dump_json(known)
