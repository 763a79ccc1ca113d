"""Forks: start one at a step of a run, and see what it said beside what the other run said."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import go, link
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.texts import count, number, plain

AS_IT_WAS = "As it was"


def fork_here(run: Json, step: Json) -> None:
    """A form that starts another run, which shares everything up to that step."""
    form, allowed = Once(f"fork-{step['step_id']}"), needs(Role.OPERATOR)
    with st.expander("Fork the run after this step", icon=":material/alt_route:"):
        agent = st.selectbox("Change the part of", run["agents"], key=form.widget("agent"), **allowed)
        prompt = st.text_area("Another prompt", placeholder=AS_IT_WAS, **form.field("prompt"), **allowed)
        left, right = st.columns(2)
        adapter = left.text_input("Another adapter", placeholder=AS_IT_WAS, **form.field("adapter"), **allowed)
        becomes = right.text_input("Another agent", placeholder=AS_IT_WAS, **form.field("becomes"), **allowed)
        if st.button("Fork", icon=":material/alt_route:", key=form.widget("go"), **allowed):
            asked = {"system_message": prompt, "adapter": adapter, "becomes": becomes}
            change = {"agent": agent, **{name: value for name, value in asked.items() if value}}
            body = {"step": step["step_id"], "changes": [change]}
            if written := form.send("POST", "workflows", run["run_id"], "fork", body=body):
                go("runs", run=written.id)


def comparison(run: Json) -> None:
    """The run and the one that it was forked from, side by side."""
    if not run["forked_from"]:
        st.info("This run is no fork. Choose one of its steps to fork it there, and compare the two here.")
        return
    found = api().one("workflows", run["run_id"], "diff")
    link("runs", "Open the run that it was forked from", run=run["forked_from"])
    _changes(run["run_id"])
    st.caption(f"{count(found['shared'], 'step')} shared; what followed:")
    left, right = st.columns(2)
    left.markdown("**This run**")
    right.markdown("**The other one**")
    for item in found["items"]:
        left, right = st.columns(2)
        with left.container(border=True):
            _said(item["mine"])
        with right.container(border=True):
            _said(item["theirs"])


def _changes(id: str) -> None:
    """Who goes on otherwise than in the other run, as the fork's request describes them."""
    (requested,) = api().page("events", aggregate=id, type="workflow.requested", limit=1).items
    changed = requested["data"]["fork"]["specs"]
    if not changed:
        st.caption("Nothing was changed: the same agents were asked again.")
    for spec in changed:
        model = f"{spec['model']['name']}, {spec['adapter'] or 'no adapter'}"
        with st.expander(f"Changed: {plain(spec['name'])} ({plain(model)})"):
            st.text(spec["system_message"])


def _said(step: Json | None) -> None:
    if step is None:
        st.caption("nothing here")
        return
    st.caption(f"{plain(step['agent'])} · {plain(step['phase'])} {step['n']}")
    for call in step["tool_calls"]:
        st.code(f"{call['name']}({call['arguments']})", language=None, wrap_lines=True)
    if step["error"]:
        st.error(plain(step["error"]), icon=":material/error:")
    st.text(step["output"] if step["score"] is None else f"{number(step['score'])} nats per token")
