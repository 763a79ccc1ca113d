"""The console's pages as Streamlit draws them, without a browser: what a person reads, types and presses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from tests.unit.ui.scripted_gateway import ScriptedGateway

NOTHING = {"items": [], "next": None, "position": 0}
LISTS = (
    *("adapters", "agents/revisions", "datasets", "events", "preferences", "training-runs", "workflows"),
    *("jobs", "jobs/kinds", "jobs/queues", "schedules", "batches"),
    *("leaderboard", "leaderboard/history", "judges", "evaluations"),
)


A_PAIR = "dc2ba57e-ec67-5992-b093-661aa91ba58e"
RUBRIC = {
    "version": 3,
    "annotators": 1,
    "criteria": [
        {"name": "truth", "question": "Which one is true?", "levels": ["right", "both", "left"], "compares": True}
    ],
}


def empty_lists(gateway: ScriptedGateway) -> None:
    """A Caravan in which nothing has happened yet; of A_PAIR, where there is one, nobody has said anything."""
    gateway.standing |= {f"/v1/{name}": NOTHING for name in LISTS}
    gateway.standing["/v1/serving"] = {"looked_after": False, "replicas": []}
    gateway.standing["/v1/annotations/queue"] = NOTHING | {"count": 0}
    gateway.standing["/v1/annotations/rubric"] = RUBRIC
    gateway.standing[f"/v1/preferences/{A_PAIR}/opinions"] = {"mine": None, "others": [], "hidden": 0}


def opened(page: str, **query: str) -> AppTest:
    """That page of the console, at an address with this query."""
    screen = AppTest.from_function(_site, args=(page,), default_timeout=120)
    screen.query_params.update(query)
    return screen.run()


def reloaded(screen: AppTest, page: str) -> AppTest:
    """The same address in a window that remembers nothing, as after a reload."""
    return opened(page, **screen.query_params)


def texts(elements: Sequence[Any]) -> list[str]:
    """What the elements of one kind say, from top to bottom."""
    return [element.value for element in elements]


def field(screen: AppTest, kind: str, label: str) -> Any:
    """The field of that kind, such as `text_input`, and label."""
    return next(one for one in getattr(screen, kind) if one.label == label)


def button(screen: AppTest, label: str) -> Button:
    """The button that says so."""
    return next(one for one in screen.button if one.label == label)


def pressing(screen: AppTest, label: str) -> Callable[[], AppTest]:
    """What a browser that shows the screen as it is now sends for a press on that button, now and again."""
    button(screen, label).click()
    states = screen._tree.get_widget_states()
    return lambda: screen._run(states)


def _site(page: str) -> None:
    from importlib import import_module

    import streamlit as st

    from ui import links
    from ui.troubles import guarded

    names = (
        "overview",
        "runs",
        "batches",
        "annotate",
        "datasets",
        "training",
        "adapters",
        "agents",
        "log",
        "events",
        "jobs",
        "leaderboard",
    )
    pages = [
        st.Page(import_module(f"ui.views.{name}").page, title=name, url_path=name, default=name == page)
        for name in names
    ]
    links.publish(pages)
    st.session_state[links._PAGES][page] = pages[names.index(page)]  # the page of the site's root has no path
    guarded(st.navigation(pages, position="hidden").run)
