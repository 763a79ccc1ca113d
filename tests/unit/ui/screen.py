"""The console's pages as Streamlit draws them, without a browser: what a person reads, types and presses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from tests.unit.ui.scripted_gateway import ScriptedGateway

NOTHING = {"items": [], "next": None, "position": 0}
LISTS = ("adapters", "agents/revisions", "datasets", "events", "preferences", "training-runs", "workflows")


def empty_lists(gateway: ScriptedGateway) -> None:
    """A Caravan in which nothing has happened yet."""
    gateway.standing |= {f"/v1/{name}": NOTHING for name in LISTS}


def opened(page: str, **query: str) -> AppTest:
    """That page of the console, at an address with this query."""
    screen = AppTest.from_function(_site, args=(page,), default_timeout=30)
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


def _site(page: str) -> None:
    from importlib import import_module

    import streamlit as st

    from ui import links
    from ui.troubles import guarded

    names = ("overview", "runs", "annotate", "datasets", "training", "adapters", "agents", "log", "events")
    pages = [
        st.Page(import_module(f"ui.views.{name}").page, title=name, url_path=name, default=name == page)
        for name in names
    ]
    links.publish(pages)
    guarded(st.navigation(pages, position="hidden").run)
