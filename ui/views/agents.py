"""agents.yaml: edit it with its mistakes shown where they are, and see who changed it, when and why."""

from __future__ import annotations

from difflib import unified_diff

import streamlit as st

from ui.api import ApiError, Json
from ui.links import opened
from ui.mistakes import show_mistakes
from ui.once import Once
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import Columns, pager, table, when
from ui.texts import ago, plain
from ui.troubles import show

FORM = "agents"


def page() -> None:
    """The editor, or the revisions."""
    st.title("Agents")
    st.caption("A change takes effect with the next run; a run keeps the revision that it started with.")
    revisions = api().page("agents", "revisions", limit=20, cursor=opened("cursor"))
    part = st.segmented_control(
        "Show",
        ("Edit", "Revisions"),
        default="Edit",
        required=True,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    if part == "Revisions":
        _revisions(revisions.items)
        pager(revisions)
    elif revisions.items:
        _edit(api().one("agents"))
    else:
        st.info("There is no agents.yaml yet; `caravan up` records the shipped one.", icon=":material/lightbulb:")


def _edit(current: Json) -> None:
    form = Once.begun(FORM, current["revision"])
    st.caption(f"Revision {current['revision']} · {plain(current['author'])} · {ago(current['recorded_at'])}")
    if form.version != current["revision"]:
        _conflict(form, current)
    with st.container(key="agents_yaml"):
        text = st.text_area("agents.yaml", height=520, **form.field("text", current["text"]), **needs(Role.ADMIN))
    mistakes = st.container()
    reason = st.text_input("Reason", placeholder="What changes, and why", **form.field("reason"), **needs(Role.ADMIN))
    with st.container(horizontal=True):
        save = st.button("Save", type="primary", icon=":material/save:", key=form.widget("save"), **needs(Role.ADMIN))
        if text != current["text"] and st.button("Discard my changes", icon=":material/undo:", type="tertiary"):
            _forget(form)
    with mistakes:
        if save:
            _save(form, text, reason)
        else:
            _remembered_mistakes(text)


def _save(form: Once, text: str, reason: str) -> None:
    def refused(error: ApiError) -> None:
        if error.status == 422:
            st.session_state["agents.mistakes"] = (text, error.detail)
            show_mistakes(text, error.detail)
        elif error.status == 412:
            st.rerun()
        else:
            show(error)

    if written := form.send("PUT", "agents", yaml=text, version=form.version, refused=refused, reason=reason):
        st.toast(f"Saved as revision {written.version}.", icon=":material/check:")
        _forget(form)


def _remembered_mistakes(text: str) -> None:
    of, detail = st.session_state.get("agents.mistakes", ("", ""))
    if of == text:
        show_mistakes(text, detail)


def _forget(form: Once) -> None:
    st.session_state.pop("agents.mistakes", None)
    form.renew()
    st.rerun()


def _conflict(form: Once, current: Json) -> None:
    theirs = api().one("agents", "revisions", str(form.version))
    st.warning(
        f"You began from revision {form.version}; "
        f"{plain(current['author'])} has saved revision {current['revision']} since. "
        "Nothing of yours is lost: compare, then decide.",
        icon=":material/call_split:",
    )
    with st.expander("What they changed", expanded=True):
        st.code(_difference(theirs, current), language="diff")
    with st.container(horizontal=True):
        if st.button("Take theirs", icon=":material/undo:"):
            _forget(form)
        if st.button("Keep mine, to be saved over theirs", icon=":material/edit:"):
            form.move(current["revision"])
            st.rerun()


def _revisions(revisions: list[Json]) -> None:
    columns: Columns = {"revision": "Revision", "recorded_at": when("Saved"), "author": "By", "reason": "Reason"}
    chosen = table(revisions, columns, "revision", "There is no revision yet.", keep="revision")
    if not chosen:
        st.caption("Choose a revision to see what it changed.")
        return
    number = chosen["revision"]
    before = api().one("agents", "revisions", str(number - 1)) if number > 1 else {"revision": 0, "text": ""}
    st.subheader(f"What revision {number} changed")
    st.code(_difference(before, chosen), language="diff")
    with st.expander("The whole file"):
        st.code(chosen["text"], language="yaml", line_numbers=True)


def _difference(old: Json, new: Json) -> str:
    lines = unified_diff(
        old["text"].splitlines(),
        new["text"].splitlines(),
        f"revision {old['revision']}",
        f"revision {new['revision']}",
        lineterm="",
    )
    return "\n".join(lines) or "Nothing."
