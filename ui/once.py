"""Forms that act once, however often their button is pressed or the script runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4, uuid5

import streamlit as st

from ui.api import ApiError, Json, TokenRefused, Written
from ui.person import api
from ui.troubles import show


class Once:
    """One form. `name` must be its own: with the id of the thing in it, where the form changes one of many.

    The request's Idempotency-Key follows from the form's showing and its content. Once it is sent, the next showing
    has other widgets, so that a late second click meets a button that is gone.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def widget(self, field: str) -> str:
        """The key of a widget in this showing."""
        return f"{self._name}.{field}.{self._showing}"

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
        key = str(uuid5(self._nonce, f"{self._name}/{self._showing}/{content}"))
        try:
            written = api().command(method, *place, key=key, body=body, **more)
        except TokenRefused:
            raise
        except ApiError as error:
            refused(error)
            return None
        self.renew()
        return written

    def renew(self) -> None:
        """Shows the form empty next time."""
        st.session_state[self._counter] = self._showing + 1

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
