"""A preference pair written by hand."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import open_here
from ui.once import Once
from ui.person import needs
from ui.session import Role


def propose() -> None:
    """The form. What it makes waits for a verdict like any other pair, and is shown then."""
    form = Once("propose-pair")
    allowed = needs(Role.ANNOTATOR)
    with st.expander("Propose a pair by hand", icon=":material/add:"):
        prompt = st.text_area("Prompt", placeholder="Why is the sky blue?", **form.field("prompt"), **allowed)
        left, right = st.columns(2)
        chosen = left.text_area("Its better answer", **form.field("chosen"), **allowed)
        rejected = right.text_area("Its worse answer", **form.field("rejected"), **allowed)
        if st.button("Propose", icon=":material/add:", key=form.widget("go"), **allowed):
            body = {
                "prompt": _said("user", prompt),
                "chosen": _said("assistant", chosen),
                "rejected": _said("assistant", rejected),
            }
            if written := form.send("POST", "preferences", body=body):
                open_here(pair=written.id)


def _said(role: str, content: str) -> list[Json]:
    return [{"role": role, "content": content}]
