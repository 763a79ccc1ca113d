"""One model call in full. Whatever a model or a person wrote is shown as plain text, never rendered."""

from __future__ import annotations

import json

import streamlit as st

from ui.api import Json
from ui.links import link
from ui.texts import count, number, plain, span


def show_call(step: Json, linked: bool = False) -> None:
    """What went in, what came out, and what it took. `linked` adds the way to its run."""
    with st.container(border=True):
        st.markdown(f"**{plain(step['agent'])}** · {plain(step['phase'])} {step['n']}")
        if step["model"] is None:
            _tool(step)
            return
        tokens = f"{count(step['input_tokens'], 'token')} in, {step['output_tokens']:,} out"
        parts = [step["model"], step["adapter"] or "base", tokens, span(step["latency"]), step["finish_reason"]]
        if step["attempt"] > 1:
            parts.append(f"begun {step['attempt']} times")
        if step["cached"]:
            parts.append("given before: no model was asked")
        if step["score"] is not None:
            parts.append(f"score {number(step['score'])} nats per token")
        st.caption(" · ".join(plain(part) for part in parts))
        if linked:
            link("runs", "Open its run", run=step["run_id"])
        for message in step["messages"]:
            _message(message["role"], message["content"])
        _message("output", step["output"])
        if step["tool_calls"]:
            st.caption("tool calls")
            st.code(json.dumps(step["tool_calls"], indent=2, ensure_ascii=False), language="json", wrap_lines=True)
        if step["error"]:
            st.error(plain(step["error"]), icon=":material/error:")


def _tool(step: Json) -> None:
    """The use of a tool: what it was given, and what came of it."""
    (used,) = step["tool_calls"]
    begun = [f"begun {step['attempt']} times"] if step["attempt"] > 1 else []
    st.caption(" · ".join(plain(part) for part in [used["name"], span(step["latency"]), *begun]))
    _message("arguments", used["arguments"])
    if used["error"] is None:
        _message("result", used["result"])
    else:
        st.error(plain(used["error"]), icon=":material/error:")


def _message(role: str, content: str) -> None:
    st.caption(plain(role))
    st.code(content, language=None, wrap_lines=True)
