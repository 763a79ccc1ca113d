"""Annotation: the queue of pairs, and where each one stands."""

from __future__ import annotations

import streamlit as st

from ui.api import PAGE_LIMIT, Json
from ui.links import open_here, opened
from ui.person import api, needs
from ui.session import Role
from ui.tables import FILTER, Columns, numbers, pager, table, when
from ui.texts import short
from ui.views.agreement import agreement
from ui.views.judging import last_word, unspoken
from ui.views.pair import show_pair
from ui.views.propose import propose

QUEUE = "queue"
STATES = {
    QUEUE: "For you",
    "waiting": "Waiting",
    "disputed": "Disputed",
    "imported": "Imported",
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
    last_word({"run": run} if run else {})
    st.caption(
        "Agents and people proposed these pairs. Say which answer is better: training counts in full what most people "
        "say. First comes what people disagree on, then what the judges do, then what is least sure."
    )
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
    agreement()


def _progress(run: str | None) -> None:
    queue = api().one("annotations", "queue", limit=1, run=run)
    settled = [api().page("preferences", limit=PAGE_LIMIT, state=state, run=run) for state in ("settled", "rejected")]
    done = sum(len(page.items) for page in settled)
    total = done + queue["count"]
    if not total:
        return
    more = any(page.next for page in settled)
    st.progress(done / total, text=f"{done:,} of {total:,}{' or more' if more else ''} are settled")
    _begin(queue, run)


def _begin(queue: Json, run: str | None) -> None:
    if not queue["items"]:
        st.success("Nothing waits for you. Build a dataset, and train on it.", icon=":material/check_circle:")
        return
    label = f"Annotate ({queue['count']:,} waiting)"
    if st.button(label, type="primary", icon=":material/rule:", **needs(Role.ANNOTATOR)):
        open_here(pair=queue["items"][0]["preference_id"], **({"run": run} if run else {}))


def _list(run: str | None) -> None:
    state = st.segmented_control(
        "State",
        list(STATES),
        format_func=STATES.__getitem__,
        default=QUEUE,
        required=True,
        key="state",
        label_visibility="collapsed",
        **FILTER,
    )
    if state == QUEUE:
        _queue(run)
        return
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
    items = [unspoken(pair) | {"question": pair["prompt"][-1]["content"]} for pair in pairs.items]
    empty = "No such pair. Pairs follow from the ballots of a run: start one under Runs."
    if chosen := table(items, columns, "preference_id", empty):
        open_here(pair=chosen["preference_id"], **({"run": run} if run else {}))
    pager(pairs)


def _queue(run: str | None) -> None:
    pairs = api().page("annotations", "queue", limit=50, run=run, cursor=opened("cursor"))
    columns: Columns = {
        "question": st.column_config.TextColumn("Prompt", width="large"),
        "why": st.column_config.TextColumn("Why it comes here", width="large"),
        "state": "State",
        "judged": numbers("Judged", help="How many people have judged it."),
        "wanted": numbers("Wanted", help="How many people it wants."),
        "proposed_at": when("Proposed"),
    }
    items = [
        pair | {"question": pair["prompt"][-1]["content"], "why": "; ".join(pair["reasons"])} for pair in pairs.items
    ]
    if chosen := table(items, columns, "preference_id", "Nothing waits for you."):
        open_here(pair=chosen["preference_id"], **({"run": run} if run else {}))
    pager(pairs)
