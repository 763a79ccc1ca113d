"""agents.yaml: edit it with its mistakes shown where they are, and see who changed it, when and why."""

from __future__ import annotations

import streamlit as st

from ui.api import ApiError, Json
from ui.line_ends import with_line_ends_of
from ui.links import opened
from ui.mistakes import show_mistakes
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, pager, sheet, table, when
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
    _team(current["agents"])
    with st.container(key="agents_yaml"):
        typed = st.text_area("agents.yaml", height=520, **form.field("text", current["text"]), **needs(Role.ADMIN))
    text = with_line_ends_of(current["text"], typed)
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


def _team(agents: list[Json]) -> None:
    rows = [
        agent | {"runs_on": agent["model"]["name"], "tools": ", ".join(agent["tools"]) or "none"} for agent in agents
    ]
    columns: Columns = {"name": "Agent", "role": "Role", "runs_on": "Model", "adapter": "Adapter", "tools": "Tools"}
    sheet(rows, columns, "team", "There is no agent.")


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
    st.warning(
        f"You began from revision {form.version}; "
        f"{plain(current['author'])} has saved revision {current['revision']} since. "
        "Nothing of yours is lost: compare, then decide.",
        icon=":material/call_split:",
    )
    with st.expander("What they changed", expanded=True):
        _show_difference(current["revision"], form.version)
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
    others = [number - 1, *(one["revision"] for one in revisions if one["revision"] not in (number, number - 1))]
    against = st.selectbox(
        "Compared with", others, format_func=lambda other: f"revision {other}" if other else "nothing"
    )
    st.subheader(f"What revision {number} changed" if against == number - 1 else f"Revision {number} against {against}")
    _show_difference(number, against)
    with st.expander("The whole file"):
        st.code(chosen["text"], language="yaml", line_numbers=True)
    current = api().one("agents")["revision"]
    if number != current:
        _restore(number, current)


def _show_difference(revision: int, against: int) -> None:
    difference = api().one("agents", "revisions", str(revision), "diff", against=against)
    for agent in difference["agents"]:
        st.caption(f"{plain(agent['name'])}: {plain(', '.join(agent['changed']))}")
    st.code(difference["text_diff"] or "Nothing.", language="diff")


def _restore(number: int, current: int) -> None:
    form = Once(f"{FORM}.restore.{number}", current)
    reason = st.text_input("Why restore it", **form.field("reason"), **needs(Role.ADMIN))
    button = f"Restore revision {number}"
    if st.button(button, icon=":material/history:", key=form.widget("restore"), **needs(Role.ADMIN)) and (
        written := form.send(
            "POST", "agents", "revisions", str(number), "restore", body={"reason": reason}, version=current
        )
    ):
        st.toast(f"Restored as revision {written.version}.", icon=":material/check:")
        st.rerun()
