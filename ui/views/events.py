"""The raw events: everything that happened, in the order in which it did, by whom and to what; and what led to what."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import link, opened
from ui.person import api
from ui.tables import FILTER, Columns, numbers, pager, sheet, table, when
from ui.texts import plain

WALKS = {"What led to it": "causes", "What it led to": "effects"}


def page() -> None:
    """The filters stand in the address, so that a reload or a link finds the same events."""
    st.title("Events")
    st.caption("All that anybody reads here was made from these. Nothing is ever changed or removed.")
    wanted = _filters()
    events = api().page("events", limit=50, order="newest", cursor=opened("cursor"), **wanted)
    empty = "Nothing matches. Widen the filters above." if any(wanted.values()) else "Nothing has happened yet."
    if chosen := table(events.items, _columns(), "position", empty, keep="event"):
        st.markdown(f"**{plain(chosen['type'])}** at position {chosen['position']}")
        st.json(chosen)
        _follow(chosen)
    elif events.items:
        st.caption("Choose a row to read the whole event.")
    pager(events)


def _columns() -> Columns:
    return {
        "position": numbers("Position", "plain"),
        "time": when("Recorded"),
        "type": "Type",
        "subject": "Aggregate",
        "version": numbers("Version", "plain"),
        "actor": "Actor",
        "actorkind": "Kind of actor",
    }


def _filters() -> dict[str, str]:
    first, second = st.columns([2, 2, 2]), st.columns([2, 2, 2])
    return {
        "type": first[0].text_input("Type", key="type", **FILTER, placeholder="any, or workflow, or workflow.failed"),
        "actor": first[1].text_input("Actor", key="actor", **FILTER, placeholder="any, or a token’s name"),
        "aggregate": first[2].text_input("Aggregate", key="aggregate", **FILTER, placeholder="the id of any one thing"),
        "agent": second[0].text_input("Agent", key="agent", **FILTER, placeholder="any, or whose steps and ballots"),
        "tool": second[1].text_input("Tool", key="tool", **FILTER, placeholder="any, or one that was used"),
        "correlation": second[2].text_input("Correlation", key="correlation", **FILTER, placeholder="of one request"),
    }


def _follow(event: Json) -> None:
    walk = st.segmented_control("Follow", list(WALKS), label_visibility="collapsed", key=f"follow.{event['id']}")
    if walk:
        found = api().one("events", str(event["position"]), WALKS[walk])
        rows = [{"depth": step["depth"], **step["event"]} for step in found["items"]]
        columns = {"depth": numbers("Steps away", "plain"), **_columns()}
        sheet(rows, columns, f"walk.{event['id']}", "Nothing that the log knows of.")
        if found.get("next") or found.get("cut"):
            st.caption(f"These are only {len(rows)} of them. By the correlation, all can be found.")
    if correlation := event.get("correlationid"):
        link("events", "All that followed from the same request", correlation=correlation)
