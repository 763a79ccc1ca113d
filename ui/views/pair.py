"""One pair: two answers side by side, what the agents think, and what a person says."""

from __future__ import annotations

import streamlit as st

from ui.api import PAGE_LIMIT, Json
from ui.links import back, open_here
from ui.once import Once
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import state_badge
from ui.texts import ago, number, plain

VERDICTS = {
    "accepted": ("Accept", ":material/check:", "A", "The left answer is better, as it was proposed."),
    "flipped": ("Flip", ":material/swap_horiz:", "F", "The right answer is better."),
    "rejected": ("Reject", ":material/block:", "X", "Neither is fit to learn from: leave the pair out."),
}
"""Each speaks of the pair as it was proposed, whatever was said of it since."""
RANKS = {
    None: ("Better", "Worse"),
    "accepted": ("Better", "Worse"),
    "flipped": ("Worse", "Better"),
    "rejected": ("Left out", "Left out"),
    "edited": ("Proposed as better", "Proposed as worse"),
}
"""What the latest verdict makes of the proposed answers: of the left one, which was proposed as better, and the right.
"""
BY_HAND = "by-hand/1"


def show_pair(id: str, run: str | None) -> None:
    """The pair's page. After an opinion the next waiting pair follows."""
    pair = api().one("preferences", id)
    waiting = api().page("preferences", limit=PAGE_LIMIT, state="waiting", order="oldest", run=run)
    queue = [one["preference_id"] for one in waiting.items]
    following = next((other for other in _after(id, queue) if other != id), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        back("All pairs")
        st.caption(f"{waiting.count} waiting")
        if following and st.button("Skip", icon=":material/skip_next:", shortcut="N", key=f"skip-{id}"):
            _open(following, run)
    _prompt(pair)
    _standing(pair)
    editing = _editing()
    form = Once(f"annotate-{id}", pair["version"])
    body = _edit(form, pair) if editing else _verdict(form, pair)
    _history(pair)
    done = _withdraw(pair)
    if body and form.send("POST", "preferences", id, "annotations", body=body, version=pair["version"]):
        done = str(body["verdict"])
    if done:
        st.toast(f"{done.capitalize()}.", icon=":material/check:")
        _open(following, run) if following else open_here(**({"run": run} if run else {}))


def _after(id: str, queue: list[str]) -> list[str]:
    """The queue from that pair on, and then around."""
    at = queue.index(id) if id in queue else 0
    return queue[at:] + queue[:at]


def _open(id: str, run: str | None) -> None:
    open_here(pair=id, **({"run": run} if run else {}))


def _prompt(pair: Json) -> None:
    st.subheader("Which answer is better?")
    with st.container(border=True):
        for message in pair["prompt"]:
            st.caption(plain(message["role"]))
            st.text(message["content"])


def _standing(pair: Json) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(pair["state"])
        if pair["verdict"]:
            st.caption(
                f"{pair['verdict']} by {plain(pair['annotated_by'])} ({pair['annotator_kind']}) "
                f"{ago(pair['annotated_at'])}"
            )
        elif pair["method"] == BY_HAND:
            st.caption("Written by hand, the better answer at the left.")
        else:
            sure = number(pair["probability"] * 100, 0)
            st.caption(f"The ballots prefer the left answer: {sure} % sure, {plain(pair['method'])}.")


def _editing() -> bool:
    """Whether the texts are being edited. It stands in the address too, and ends with this pair."""
    editing = "edit" in st.query_params
    label, icon = ("Stop editing", ":material/close:") if editing else ("Edit the texts", ":material/edit:")
    if st.button(label, icon=icon, type="tertiary", key="edit", **needs(Role.ANNOTATOR)):
        if editing:
            del st.query_params["edit"]
        else:
            st.query_params["edit"] = "1"
        st.rerun()
    return editing


def _verdict(form: Once, pair: Json) -> Json | None:
    if pair["verdict"] == "edited":
        st.caption("As it was edited")
        edited = ((pair[f"{side}_agent"], pair[side]) for side in ("chosen", "rejected"))
        _answers(("Better", "Worse"), *edited)
        st.caption("As it was proposed: Accept and Flip would take these texts instead")
    proposed = pair["history"][0]["data"]["pair"]
    answers = ((proposed[side]["agent"], proposed[side]["messages"]) for side in ("chosen", "rejected"))
    _answers(RANKS[pair["verdict"]], *answers)
    note = _note(form)
    with st.container(horizontal=True):
        for verdict, (label, icon, key, reason) in VERDICTS.items():
            allowed = needs(Role.ANNOTATOR, unless=_withdrawn(pair), help=reason)
            kind = "primary" if verdict == "accepted" else "secondary"
            if st.button(label, icon=icon, shortcut=key, type=kind, key=form.widget(f"verdict-{verdict}"), **allowed):  # type: ignore[arg-type]
                return {"verdict": verdict, "note": note}
    return None


def _edit(form: Once, pair: Json) -> Json | None:
    left, right = st.columns(2)
    with left:
        chosen = _text(form, pair, "chosen", "The better answer")
    with right:
        rejected = _text(form, pair, "rejected", "The worse answer")
    note = _note(form)
    allowed = needs(Role.ANNOTATOR, unless=_withdrawn(pair))
    if st.button("Save the edit", type="primary", icon=":material/save:", key=form.widget("edit"), **allowed):
        if (chosen, rejected) == (pair["chosen"][-1]["content"], pair["rejected"][-1]["content"]):
            st.info("Both texts stand as they were: change one, or accept the pair.", icon=":material/info:")
            return None
        return {"verdict": "edited", "chosen": chosen, "rejected": rejected, "note": note}
    return None


def _answers(ranks: tuple[str, str], *answers: tuple[str | None, list[Json]]) -> None:
    """Side by side, each with its rank, its agent and its messages."""
    for column, rank, (agent, messages) in zip(st.columns(2), ranks, answers, strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{rank}** · {plain(agent or 'written by hand')}")
            for message in messages:
                if len(messages) > 1:
                    st.caption(plain(message["role"]))
                st.text(message["content"])


def _text(form: Once, pair: Json, side: str, label: str) -> str:
    said: str = st.text_area(label, height=220, **form.field(side, pair[side][-1]["content"]))
    return said


def _note(form: Once) -> str:
    said: str = st.text_input(
        "Note",
        placeholder="Why (optional)",
        max_chars=4000,
        **form.field("note"),
        **needs(Role.ANNOTATOR),
    )
    return said


def _withdraw(pair: Json) -> str:
    """What was done, where it was."""
    form = Once(f"withdraw-{pair['preference_id']}", pair["version"])
    allowed = needs(Role.ANNOTATOR, unless=_withdrawn(pair))
    with st.expander("Withdraw", icon=":material/delete:"):
        st.caption("Takes the pair out of every later dataset, for good. Its history stays.")
        reason = st.text_input(
            "Reason", placeholder="Why (optional)", max_chars=2000, **form.field("reason"), **allowed
        )
        pressed = st.button("Withdraw the pair", icon=":material/delete:", key=form.widget("go"), **allowed)
    place = ("preferences", pair["preference_id"])
    return "withdrawn" if pressed and form.send("DELETE", *place, version=form.version, reason=reason) else ""


def _withdrawn(pair: Json) -> str:
    """Why nobody can say anything of it any more."""
    return "The pair is withdrawn." if pair["state"] == "withdrawn" else ""


def _history(pair: Json) -> None:
    with st.expander(f"History ({len(pair['history'])})", icon=":material/history:"):
        for event in pair["history"]:
            data = event["data"]
            what = data.get("verdict") or event["type"].rpartition(".")[2]
            who = f"{plain(event.get('actor', '?'))} · {ago(event['time'])}"
            st.markdown(f"**{plain(what)}** by {who}")
            if said := data.get("note") or data.get("reason"):
                st.text(said)
