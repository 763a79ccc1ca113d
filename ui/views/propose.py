"""A preference pair written by hand."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import open_here
from ui.once import Once
from ui.person import needs
from ui.session import Role
from ui.views.judging import SAME


def propose() -> None:
    """The form. What it makes waits for a verdict like any other pair, and is shown then."""
    form = Once("propose-pair")
    allowed = needs(Role.ANNOTATOR)
    with st.expander("Propose a pair by hand", icon=":material/add:"):
        prompt = st.text_area("Prompt", placeholder="Why is the sky blue?", **form.field("prompt"), **allowed)
        left, right = st.columns(2)
        chosen = left.text_area("Its better answer", **form.field("chosen"), **allowed)
        rejected = right.text_area("Its worse answer", **form.field("rejected"), **allowed)
        if not st.button("Propose", icon=":material/add:", key=form.widget("go"), **allowed):
            return
        if unfit := _unless_fit(prompt, chosen, rejected):
            st.error(unfit, icon=":material/error:")
            return
        body = {
            "prompt": _said("user", prompt),
            "chosen": _said("assistant", chosen),
            "rejected": _said("assistant", rejected),
        }
        if written := form.send("POST", "preferences", body=body):
            open_here(pair=written.id)


def _unless_fit(prompt: str, chosen: str, rejected: str) -> str:
    """Why nothing could be learnt from these texts, and what to do."""
    fields = {"the prompt": prompt, "its better answer": chosen, "its worse answer": rejected}
    if missing := [name for name, text in fields.items() if not text.strip()]:
        return f"Write {' and '.join(missing)} first."
    return SAME if chosen == rejected else ""


def _said(role: str, content: str) -> list[Json]:
    return [{"role": role, "content": content}]
