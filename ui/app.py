"""The script that Streamlit runs for every visitor: who they are, and which page they look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

from ui import links
from ui.person import arrive, sign_out
from ui.texts import plain
from ui.troubles import guarded
from ui.views import (
    adapters,
    agents,
    annotate,
    batches,
    datasets,
    events,
    jobs,
    leaderboard,
    log,
    overview,
    runs,
    training,
)

HERE = Path(__file__).parent


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Caravan", page_icon=str(HERE / "mark.svg"), layout="wide")
    st.html(HERE / "style.css")
    me = arrive()
    st.logo(str(HERE / "wordmark.svg"), icon_image=str(HERE / "mark.svg"), size="large")
    site = {
        "": [_page(overview.page, "Overview", "home", "overview", default=True)],
        "The loop": [
            _page(runs.page, "Runs", "forum", "runs"),
            _page(batches.page, "Batches", "view_list", "batches"),
            _page(annotate.page, "Annotate", "rule", "annotate"),
            _page(datasets.page, "Datasets", "dataset", "datasets"),
            _page(training.page, "Training", "model_training", "training"),
            _page(adapters.page, "Adapters", "extension", "adapters"),
        ],
        "The team": [
            _page(agents.page, "Agents", "groups", "agents"),
            _page(leaderboard.page, "Leaderboard", "leaderboard", "leaderboard"),
            _page(log.page, "Log", "receipt_long", "log"),
            _page(events.page, "Events", "history", "events"),
            _page(jobs.page, "Jobs", "engineering", "jobs"),
        ],
    }
    links.publish([page for section in site.values() for page in section])
    page = st.navigation(site)
    with st.sidebar:
        st.caption(f"Signed in as **{plain(me.subject)}** · {me.role}")
        if st.button("Sign out", type="tertiary", icon=":material/logout:"):
            sign_out()
    guarded(page.run)


def _page(draw: Callable[[], None], title: str, icon: str, path: str, default: bool = False) -> Page:
    return st.Page(draw, title=title, icon=f":material/{icon}:", url_path=path, default=default)


main()
