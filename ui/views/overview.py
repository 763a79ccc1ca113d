"""Where the loop stands, and whether every part of Caravan works."""

from __future__ import annotations

import streamlit as st

from ui.api import PAGE_LIMIT, Json
from ui.links import link
from ui.person import api
from ui.tables import Columns, numbers, sheet
from ui.texts import ago, brief, plain
from ui.troubles import PROBE_SECONDS, live


def page() -> None:
    """The first page that a person sees."""
    st.title("Overview")
    st.caption(
        "Agents answer and rank each other, people correct, training learns from both, and the next run uses it."
    )
    live(_loop, going=True)
    st.subheader("Health")
    with st.spinner("Trying every part…"):
        live(_health, going=True, seconds=PROBE_SECONDS)


def _loop() -> bool:
    stages = st.columns(4, border=True)
    with stages[0]:
        st.markdown("**1 · Run**")
        runs = api().page("workflows", limit=1).items
        _latest(runs, "task", "No run yet.", "finished_at", "requested_at")
        link("runs", "Runs")
    with stages[1]:
        st.markdown("**2 · Annotate**")
        waiting = api().page("preferences", limit=PAGE_LIMIT, state="waiting")
        st.markdown(f"**{waiting.count}** pairs wait for an opinion.")
        link("annotate", "Annotate")
    with stages[2]:
        st.markdown("**3 · Train**")
        going_on = api().page("training-runs", state="running", limit=1).items
        trainings = going_on or api().page("training-runs", limit=1).items
        _latest(trainings, "adapter_name", "No training yet.", "finished_at", "requested_at")
        link("training", "Training")
    with stages[3]:
        st.markdown("**4 · Use**")
        in_use = [adapter["name"] for adapter in api().page("adapters", limit=PAGE_LIMIT).items if adapter["in_use"]]
        st.markdown(f"In use: **{plain(', '.join(in_use))}**" if in_use else "The agents run on the base model.")
        link("adapters", "Adapters")
    return True


def _latest(items: list[Json], title: str, empty: str, *times: str) -> None:
    if not items:
        st.markdown(empty)
        return
    item = items[0]
    at = next(item[time] for time in times if item[time])
    st.markdown(f"{plain(brief(item[title] or 'Not begun', 60))}")
    st.caption(f"{item['state']} · {ago(at)}")


PARTS: Columns = {
    "name": "Part",
    "state": "State",
    "latency_ms": numbers("Latency (ms)", "%.1f"),
    "detail": "Detail",
}
READ_MODELS: Columns = {
    "name": "Read model",
    "lag": numbers("Events behind"),
    "parked": numbers("Parked", help="Events that it could not take in; a rebuild tries them again."),
}


def _health() -> bool:
    health = api().health()
    left, right = st.columns(2)
    with left:
        sheet(health["checks"], PARTS, "checks", "Nothing is checked.")
    with right:
        sheet(health["projections"], READ_MODELS, "projections", "The database cannot be reached right now.")
        if relay := health["relay"]:
            st.caption(f"NATS was told of the log up to position {relay['position']}; {relay['lag']} are to come.")
    if (file := health.get("agents_file")) and file["state"] in ("conflict", "invalid", "unreadable"):
        st.warning(f"{plain(file['path'])}: {plain(file['detail'])}", icon=":material/edit_document:")
    return True
