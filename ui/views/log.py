"""The interaction log: every model call, by who did what with which model, adapter and tool."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import streamlit as st

from ui.links import opened
from ui.person import api
from ui.tables import FILTER, Columns, numbers, pager, table, when
from ui.views.call import show_call

PHASES = ("answer", "score", "verdict")


def page() -> None:
    """The filters stand in the address, so that a reload or a link finds the same rows."""
    st.title("Log")
    wanted = _filters()
    page = api().page("logs", limit=50, cursor=opened("cursor"), **wanted)
    columns: Columns = {
        "recorded_at": when("Recorded"),
        "agent": "Agent",
        "phase": "Phase",
        "output": st.column_config.TextColumn("Output", width="medium"),
        "model": "Model",
        "adapter": "Adapter",
        "input_tokens": numbers("Tokens in"),
        "output_tokens": numbers("Tokens out"),
        "latency": numbers("Seconds", "%.2f"),
    }
    filtered = any(value is not None and value != "" for value in wanted.values())
    empty = (
        "Nothing matches. Widen the filters above." if filtered else "Nothing yet. Start a run, and its calls appear."
    )
    if chosen := table(page.items, columns, "step_id", empty, keep="step"):
        show_call(chosen, linked=True)
    elif page.items:
        st.caption("Choose a row to read the whole call.")
    pager(page)


def _filters() -> dict[str, object]:
    first = st.columns([3, 2, 2, 2])
    text = first[0].text_input("Text", key="text", **FILTER, placeholder="in messages or output")
    agent = first[1].text_input("Agent", key="agent", **FILTER, placeholder="any")
    phase = first[2].selectbox("Phase", PHASES, index=None, key="phase", **FILTER, placeholder="any")
    adapter = first[3].text_input("Adapter", key="adapter", **FILTER, placeholder="any, or team@1")
    with st.expander("More filters"):
        more = st.columns(3)
        model = more[0].text_input("Model", key="model", **FILTER, placeholder="any")
        tool = more[1].text_input("Tool", key="tool", **FILTER, placeholder="any")
        workflow = more[2].text_input("Run", key="workflow", **FILTER, placeholder="a run’s id")
        since = more[0].date_input("From", value=None, key="since", **FILTER)
        until = more[1].date_input("To, inclusive", value=None, key="until", **FILTER)
        tokens = more[2].number_input("Tokens, at least", min_value=0, value=None, key="min_tokens", **FILTER)
    return {
        "text": text,
        "agent": agent,
        "phase": phase,
        "adapter": adapter,
        "model": model,
        "tool": tool,
        "workflow": workflow,
        "since": _at(since, time.min),
        "until": _at(until, time.max),
        "min_tokens": tokens,
    }


def _at(day: date | None, clock: time) -> str | None:
    """That time of the day where the person is."""
    if day is None:
        return None
    return datetime.combine(day, clock, ZoneInfo(st.context.timezone or "UTC")).isoformat()
