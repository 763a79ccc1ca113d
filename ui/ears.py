"""What agents are saying just now, in the runs that somebody looks at: heard while they look, and forgotten after."""

from __future__ import annotations

import threading
import time
from weakref import WeakKeyDictionary

from ui.api import Api, ApiError, Json

IDLE_SECONDS = 10.0
"""A page that is open asks each second."""
SHOWN = 2000
"""Characters of an unfinished answer: its end."""


class Ear:
    """Listens to one run, in a thread of its own, until nobody asks any more or the stream ends."""

    def __init__(self, api: Api, run: str) -> None:
        self._texts: dict[str, Json] = {}
        self._asked_at = time.monotonic()
        self._thread = threading.Thread(target=self._listen, args=(api, run), name=f"ear {run}", daemon=True)
        self._thread.start()

    @property
    def listens(self) -> bool:
        return self._thread.is_alive()

    def heard(self) -> list[Json]:
        """The steps under way, {step, agent, phase, n, text}, in the order in which they began."""
        self._asked_at = time.monotonic()
        return list(self._texts.values())

    def _listen(self, api: Api, run: str) -> None:
        try:
            for message in api.follow(workflow=run, types="workflow.step_recorded", deltas=True):
                self._take(message)
                if time.monotonic() - self._asked_at > IDLE_SECONDS:
                    return
        except ApiError:
            return  # the page tells of it; the next look listens anew

    def _take(self, message: Json) -> None:
        """What follows a gap would make no sense; the whole text comes with the step."""
        match message:
            case {"type": "token_delta", "seq": 0, "step": step}:
                self._texts[step] = message
            case {"type": "token_delta", "seq": seq, "step": step, "text": text}:
                before = self._texts.get(step)
                if before and seq == before["seq"] + 1:
                    self._texts[step] = message | {"text": (before["text"] + text)[-SHOWN:]}
            case {"type": "workflow.step_recorded", "data": {"step": {"id": step}}}:
                self._texts.pop(step, None)


_EARS: WeakKeyDictionary[Api, dict[str, Ear]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def being_said(api: Api, run: str) -> list[Json]:
    """The steps under way of that run, with what was said for them since this person first looked."""
    with _LOCK:
        ears = _EARS.setdefault(api, {})
        for id in [id for id, ear in ears.items() if not ear.listens]:
            del ears[id]
        if run not in ears:
            ears[run] = Ear(api, run)
        return ears[run].heard()
