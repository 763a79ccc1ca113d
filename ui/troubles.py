"""What went wrong, on the screen; and pages that go on by themselves once it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from ui.api import ApiError, InFlight, TokenRefused, Unavailable
from ui.person import api, leave, session
from ui.sessions import SESSIONS
from ui.texts import plain

RETRY_SECONDS = 2.0
LIVE_SECONDS = 1.0
PROBE_SECONDS = 5.0
"""Between looks at what takes every part of Caravan some work to answer."""


def show(error: ApiError) -> None:
    """A refusal, with every fault that the API named."""
    faults = "".join(f"\n- `{fault.place or 'the body'}` {plain(fault.detail)}" for fault in error.faults)
    st.error(f"**{plain(error.title)}** · {plain(error.detail)}{faults}", icon=":material/error:")


def in_words(advice: Mapping[int, str]) -> Callable[[ApiError], None]:
    """Shows a refusal with the status of one of these as what to do about it; others in the API's words."""

    def told(error: ApiError) -> None:
        if error.status in advice and not isinstance(error, InFlight):
            st.error(advice[error.status], icon=":material/error:")
        else:
            show(error)

    return told


def guarded(draw: Callable[[], None]) -> None:
    """Draws a page. Where the gateway is away it says so, and draws again as soon as it is back."""
    try:
        draw()
    except TokenRefused:
        SESSIONS.close(session())
        leave()
    except Unavailable as outage:
        _wait_for_the_gateway(outage)
    except ApiError as error:
        show(error)


def live(draw: Callable[[], bool], going: bool, seconds: float = LIVE_SECONDS) -> None:
    """Draws a part of a page; while something is `going` on there, again every so many seconds until `draw` says that
    it is over.

    It is the same fragment before and after: a click that meets the change from the one to the other is not lost.
    """

    @st.fragment(run_every=seconds if going else None)
    def part() -> None:
        def once() -> None:
            if not draw() and going:
                st.rerun()

        guarded(once)

    part()


def _wait_for_the_gateway(outage: Unavailable) -> None:
    @st.fragment(run_every=RETRY_SECONDS)
    def wait() -> None:
        if api().answers():
            st.rerun()

    st.warning(f"**{plain(outage.title)}** · {plain(outage.detail)}", icon=":material/cloud_off:")
    st.caption("This page goes on by itself as soon as Caravan answers. Nothing is lost meanwhile.")
    wait()
