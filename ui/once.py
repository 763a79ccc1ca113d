"""Forms that act once, however often their button is pressed or the script runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self
from uuid import UUID, uuid4, uuid5

import streamlit as st

from ui.api import ApiError, Json, TokenRefused, Written
from ui.links import open_here
from ui.person import api, draft, drop_drafts, keep_draft
from ui.troubles import show


class Once:
    """One form. `name` must be its own: with the id of the thing in it, where the form changes one of many, and
    `version` the thing's: a press on a button that showed another version meets nothing, and changes nothing.

    The request's Idempotency-Key follows from the form's showing and its content. Once it is sent, the next showing
    has other widgets, so that a late second click meets a button that is gone.
    """

    def __init__(self, name: str, version: int = 0) -> None:
        self._name = name
        self.version = version

    @classmethod
    def begun(cls, name: str, version: int) -> Self:
        """The form above the version from which its drafts were begun; above this one where there are none."""
        return cls(name, draft(f"{name}.version", version))

    def move(self, version: int) -> None:
        """Puts the drafts above that version, whatever they were begun from."""
        keep_draft(f"{self._name}.version", version)

    def widget(self, name: str) -> str:
        """The key of a widget in this showing."""
        return f"{self._name}.{self.version}.{name}.{self._showing}"

    def button(self, name: str) -> dict[str, Any]:
        """Arguments for a button whose press is sent by `send_and_open`: a second press leads where the first one did,
        even from a browser that still shows what was there before."""
        return {"key": self.widget(name), "on_click": self._follow, "args": (self._showing,)}

    def field(self, name: str, default: object = "") -> dict[str, Any]:
        """Arguments for a widget that begins with `default` and keeps what a person puts into it until it is sent or
        given up: after a reload, and above another version of the thing, too."""
        widget = self.widget(name)
        if widget not in st.session_state:
            st.session_state[widget] = draft(f"{self._name}.{name}", default)
        return {"key": widget, "on_change": self._keep, "args": (name, widget)}

    def send(
        self,
        method: str,
        *place: str,
        body: Json | None = None,
        refused: Callable[[ApiError], None] = show,
        **more: Any,
    ) -> Written | None:
        """Sends the command. None where it was refused, which `refused` tells the person: the form stays then."""
        content = json.dumps([method, place, body, more], sort_keys=True, default=str)
        key = str(uuid5(self._nonce, f"{self._name}/{self.version}/{self._showing}/{content}"))
        try:
            written = api().command(method, *place, key=key, body=body, **more)
        except TokenRefused:
            raise
        except ApiError as error:
            refused(error)
            return None
        self.renew()
        return written

    def send_and_open(self, query: Mapping[str, str], method: str, *place: str, done: str = "", **more: Any) -> None:
        """Sends the command and, unless it was refused, says what was `done` and shows what `query` names."""
        # Before anything is sent: a second press may end this run of the script as soon as it is.
        st.session_state[self._opens] = dict(query)
        if self.send(method, *place, **more):
            if done:
                st.toast(done, icon=":material/check:")
            open_here(**query)

    def renew(self) -> None:
        """Shows the form as it begins next time."""
        drop_drafts(f"{self._name}.")
        st.session_state[self._counter] = self._showing + 1

    def _keep(self, name: str, widget: str) -> None:
        # The browser may tell of a widget once more after the form that it was in has been sent.
        if widget == self.widget(name):
            keep_draft(f"{self._name}.{name}", st.session_state[widget])
            self.move(self.version)

    def _follow(self, showing: int) -> None:
        if showing < self._showing:
            st.query_params.from_dict(st.session_state[self._opens])

    @property
    def _opens(self) -> str:
        return f"{self._name}.opens"

    @property
    def _counter(self) -> str:
        return f"{self._name}.showing"

    @property
    def _showing(self) -> int:
        count: int = st.session_state.setdefault(self._counter, 0)
        return count

    @property
    def _nonce(self) -> UUID:
        nonce: UUID = st.session_state.setdefault("nonce", uuid4())
        return nonce
