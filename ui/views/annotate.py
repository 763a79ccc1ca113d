"""Annotation: the queue of pairs, and where each one stands."""

from __future__ import annotations

import streamlit as st

from ui.api import PAGE_LIMIT, Page
from ui.links import open_here, opened
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import FILTER, Columns, numbers, pager, table, when
from ui.texts import short
from ui.views.pair import show_pair
from ui.views.propose import propose

STATES = {
    "waiting": "Waiting",
    "settled": "Settled",
    "rejected": "Rejected",
    "withdrawn": "Withdrawn",
    "all": "All",
}


def page() -> None:
    """The queue, or the pair that the address names."""
    run = opened("run")
    if pair := opened("pair"):
        show_pair(pair, run)
        return
    st.title("Annotate")
    st.caption("Agents and people proposed these pairs. Say which answer is better: training counts your word in full.")
    if run:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Only the pairs of the run {short(run)}")
            if st.button("Show all runs", type="tertiary", icon=":material/close:"):
                for parameter in ("run", "cursor"):
                    st.query_params.pop(parameter, None)
                st.rerun()
    _progress(run)
    propose()
    _list(run)


def _progress(run: str | None) -> None:
    waiting = api().page("preferences", limit=PAGE_LIMIT, state="waiting", order="oldest", run=run)
    settled = [api().page("preferences", limit=PAGE_LIMIT, state=state, run=run) for state in ("settled", "rejected")]
    done = sum(len(page.items) for page in settled)
    total = done + len(waiting.items)
    if not total:
        return
    more = any(page.next for page in (waiting, *settled))
    st.progress(done / total, text=f"{done:,} of {total:,}{' or more' if more else ''} have an opinion")
    _begin(waiting, run)


def _begin(waiting: Page, run: str | None) -> None:
    if not waiting.items:
        st.success("Nothing is waiting. Build a dataset, and train on it.", icon=":material/check_circle:")
        return
    label = f"Annotate ({waiting.count} waiting)"
    if st.button(label, type="primary", icon=":material/rule:", **needs(Role.ANNOTATOR)):
        open_here(pair=waiting.items[0]["preference_id"], **({"run": run} if run else {}))


def _list(run: str | None) -> None:
    state = st.segmented_control(
        "State",
        list(STATES),
        format_func=STATES.__getitem__,
        default="waiting",
        required=True,
        key="state",
        label_visibility="collapsed",
        **FILTER,
    )
    wanted = None if state == "all" else state
    pairs = api().page("preferences", limit=50, state=wanted, run=run, cursor=opened("cursor"))
    columns: Columns = {
        "question": st.column_config.TextColumn("Prompt", width="large"),
        "chosen_agent": "Better",
        "rejected_agent": "Worse",
        "probability": numbers("Probability", "percent", "How often the better answer would win a ballot."),
        "state": "State",
        "verdict": "Verdict",
        "annotated_by": "By",
        "proposed_at": when("Proposed"),
    }
    items = [pair | {"question": pair["prompt"][-1]["content"]} for pair in pairs.items]
    empty = "No such pair. Pairs follow from the ballots of a run: start one under Runs."
    if chosen := table(items, columns, "preference_id", empty):
        open_here(pair=chosen["preference_id"], **({"run": run} if run else {}))
    pager(pairs)
