"""From page to page. Each thing has an address of its own, so that a reload, a bookmark and a link all find it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import streamlit as st
from streamlit.navigation.page import Page

_PAGES = "pages"


def publish(pages: Sequence[Page]) -> None:
    """Makes the site's pages known to the links between them."""
    st.session_state[_PAGES] = {page.url_path: page for page in pages}


def link(page: str, label: str, **query: str) -> None:
    """A link to another page, by its path; `query` names the thing to open there."""
    st.page_link(st.session_state[_PAGES][page], label=label, icon=":material/arrow_forward:", query_params=query)


def go(page: str, **query: str) -> NoReturn:
    """Opens another page."""
    st.switch_page(st.session_state[_PAGES][page], query_params=query)


def opened(kind: str) -> str | None:
    """The id of the thing that the address names, such as a `run`."""
    return st.query_params.get(kind)


def open_here(**query: str) -> NoReturn:
    """Shows one thing on the page of its kind."""
    st.query_params.from_dict(query)
    st.rerun()


def back(label: str) -> None:
    """A button that leads from one thing to the list of all."""
    if st.button(label, icon=":material/arrow_back:", type="tertiary", key="back"):
        st.query_params.clear()
        st.rerun()
