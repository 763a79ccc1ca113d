"""The raw events: everything that happened, in the order in which it did, by whom and to what."""

from __future__ import annotations

import streamlit as st

from ui.links import opened
from ui.person import api
from ui.tables import FILTER, Columns, numbers, pager, table, when
from ui.texts import plain


def page() -> None:
    """The filters stand in the address, so that a reload or a link finds the same events."""
    st.title("Events")
    st.caption("All that anybody reads here was made from these. Nothing is ever changed or removed.")
    wanted = _filters()
    events = api().page("events", limit=50, order="newest", cursor=opened("cursor"), **wanted)
    columns: Columns = {
        "position": numbers("Position", "plain"),
        "time": when("Recorded"),
        "type": "Type",
        "subject": "Aggregate",
        "version": numbers("Version", "plain"),
        "actor": "Actor",
        "actorkind": "Kind of actor",
    }
    empty = "Nothing matches. Widen the filters above." if any(wanted.values()) else "Nothing has happened yet."
    if chosen := table(events.items, columns, "position", empty, keep="event"):
        st.markdown(f"**{plain(chosen['type'])}** at position {chosen['position']}")
        st.json(chosen)
    elif events.items:
        st.caption("Choose a row to read the whole event.")
    pager(events)


def _filters() -> dict[str, str]:
    left, middle, right = st.columns([2, 2, 3])
    return {
        "type": left.text_input("Type", key="type", **FILTER, placeholder="any, or workflow, or workflow.failed"),
        "actor": middle.text_input("Actor", key="actor", **FILTER, placeholder="any, or a token’s name"),
        "aggregate": right.text_input("Aggregate", key="aggregate", **FILTER, placeholder="the id of any one thing"),
    }
