"""Runs: start one, see them all, follow one while it works."""

from __future__ import annotations

import streamlit as st

from ui.links import back, go, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, numbers, pager, table, when
from ui.texts import LIVE_STATES
from ui.troubles import live
from ui.views.run import show_run

KINDS = {
    "mutual_ranking": "Mutual ranking",
    "sampled_ranking": "Sampled ranking",
    "role_playing": "Role playing",
    "workforce": "Workforce",
}
KINDS_HELP = (
    "Mutual ranking: three agents or more answer, then rank the others’ answers. "
    "Role playing: the first of two agents instructs, the second one does the task. "
    "Workforce: the first agent plans the task, the others do its parts."
)
FOLLOW_UP = "\n---\n"


def page() -> None:
    """The list, or the run that the address names."""
    if run := opened("run"):
        back("All runs")
        show_run(run)
        return
    st.title("Runs")
    _start()
    cursor = opened("cursor")
    newest = api().page("workflows", limit=25, cursor=cursor)
    live(lambda: _list(cursor), going=any(run["state"] in LIVE_STATES for run in newest.items))
    pager(newest)


def _start() -> None:
    form = Once("start-run")
    with st.container(border=True):
        st.subheader("Start a run")
        task = st.text_area(
            "Task",
            placeholder="Why is the sky blue?",
            **form.field("task"),
            **needs(
                Role.OPERATOR,
                help="What all agents are asked. A line of three dashes (---) begins a follow-up question.",
            ),
        )
        left, middle, right = st.columns([3, 3, 2])
        kind = left.selectbox(
            "Kind", list(KINDS), format_func=KINDS.__getitem__, help=KINDS_HELP, key=form.widget("kind")
        )
        agents = middle.multiselect(
            "Agents",
            _agents(),
            placeholder="Everybody on the roster",
            **form.field("agents", []),
            **needs(Role.OPERATOR),
        )
        tokens = right.number_input(
            "Tokens an answer, at most",
            min_value=1,
            value=None,
            placeholder="As in agents.yaml",
            **form.field("tokens", None),
            **needs(Role.OPERATOR),
        )
        pressed = st.button(
            "Start", type="primary", icon=":material/play_arrow:", key=form.widget("go"), **needs(Role.OPERATOR)
        )
    if pressed:
        turns = [turn.strip() for turn in f"\n{task}\n".split(FOLLOW_UP)]
        body = {"kind": kind, "task": {"turns": turns}, "agents": agents, "max_tokens": tokens}
        if written := form.send("POST", "workflows", body=body):
            go("runs", run=written.id)


def _agents() -> list[str]:
    revisions = api().page("agents", "revisions", limit=1).items
    return [agent["name"] for agent in revisions[0]["agents"]] if revisions else []


def _list(cursor: str | None) -> bool:
    runs = api().page("workflows", limit=25, cursor=cursor).items
    columns: Columns = {
        "task": st.column_config.TextColumn("Task", width="large"),
        "state": "State",
        "steps": numbers("Steps"),
        "ballots": numbers("Ballots"),
        "output_tokens": numbers("Tokens out"),
        "requested_at": when("Requested"),
        "actor": "By",
    }
    if chosen := table(runs, columns, "run_id", "No run yet. Write a task above and press Start."):
        open_here(run=chosen["run_id"])
    return any(run["state"] in LIVE_STATES for run in runs)
