"""One pair, and what a person says of it. Until they have spoken, they are not shown what others think."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from domain.sides import LEFT, NEITHER, OPEN, RIGHT, Sides
from ui.api import PAGE_LIMIT, Json
from ui.links import back, open_here
from ui.once import Once
from ui.person import api, needs, session
from ui.session import Role
from ui.texts import plain
from ui.views.judging import EDITED, assignment, note, opinions, ratings, reasons, skip, unless_withdrawn
from ui.views.pair_shown import (
    as_it_stands,
    as_proposed,
    as_seen,
    history,
    is_turned,
    origin,
    outvoted,
    places,
    prompt,
    standing,
)

CHOICES = {
    LEFT: ("Left is better", ":material/arrow_back:", "1", "Learn to answer like the left one."),
    RIGHT: ("Right is better", ":material/arrow_forward:", "2", "Learn to answer like the right one."),
    NEITHER: ("Neither", ":material/block:", "0", "Neither is fit to learn from: leave the pair out."),
}
"""Of the answers as they were proposed, whatever was said of them since."""
LOOK = "Shows whose the answers are and which one was proposed as better; the pair cannot be judged meanwhile."
LOOKING = "You only look: press Judge it first."
FIRST = "Say first which answer is better: what you would edit shows what others think."
Face = tuple[str, str, str | None]
"""A button's label, icon and help."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What this person sees of a pair. `mine`: what they said of it. `named`: also whose the answers are and which one
    was proposed as better; `told`: also what others said. `hindered`: why they cannot judge it."""

    sides: Sides
    mine: Json | None
    named: bool
    told: bool
    hindered: str


def show_pair(id: str, run: str | None) -> None:
    """The pair's page. After an opinion the next waiting pair follows."""
    pair = api().one("preferences", id)
    said = api().one("preferences", id, "opinions")
    waiting = api().one("annotations", "queue", limit=PAGE_LIMIT, run=run)
    queue = [one["preference_id"] for one in waiting["items"]]
    following = next((other for other in _after(id, queue) if other != id), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        back("All pairs")
        st.caption(f"{waiting['count']:,} waiting")
        if following and st.button("Next", icon=":material/skip_next:", shortcut="N", key=f"next-{id}"):
            _open(following, run)
        skipped = id in queue and skip(pair)
        sight = _sight(pair, said)
    prompt(pair)
    reasons(next((one for one in waiting["items"] if one["preference_id"] == id), None))
    origin(pair, sight.sides if sight.named else None)
    if sight.told:
        _tell_of_changes(pair)
        standing(pair, sight.sides)
    editing = _editing(sight)
    # Whoever is not told what others do to the pair speaks of the same answers, whatever they do meanwhile.
    form = Once(f"{'edit' if editing else 'annotate'}-{id}", pair["version"] if sight.told else 0)
    if not sight.told:
        said = said | {"others": [], "hidden": said["hidden"] or len(said["others"])}
    body = _edit(form, pair, sight) if editing else _verdict(form, pair, sight)
    undone = opinions(pair, said, sight.sides)
    assignment(pair)
    note(pair)
    if sight.told:
        history(pair, sight.sides)
    done = _withdraw(pair) or ("skipped" if skipped else "")
    if undone:
        st.rerun()
    if body and form.send("POST", "preferences", id, "annotations", body=body, version=form.version or None):
        done = sight.sides.words(body["verdict"])
        st.session_state.pop(_blind(id), None)
    if done:
        st.toast(f"{done.capitalize()}.", icon=":material/check:")
        _open(following, run) if following else open_here(**({"run": run} if run else {}))


def _after(id: str, queue: list[str]) -> list[str]:
    """The queue from that pair on, and then around."""
    at = queue.index(id) if id in queue else 0
    return queue[at:] + queue[:at]


def _open(id: str, run: str | None) -> None:
    open_here(pair=id, **({"run": run} if run else {}))


def _sight(pair: Json, said: Json) -> Sight:
    """Whose word on an open pair would be their first is shown nothing that speaks for an answer, unless they only want
    to look: also while others settle it meanwhile."""
    blind = _blind(pair["preference_id"])
    asked = pair["state"] in OPEN or (blind in st.session_state and not unless_withdrawn(pair))
    first = said["mine"] is None and asked and session().role >= Role.ANNOTATOR
    if first:
        st.session_state[blind] = True
    looks = first and _switch(
        "look", ("Only look", ":material/visibility:", LOOK), ("Judge it", ":material/rule:", None)
    )
    hindered = unless_withdrawn(pair) or (LOOKING if looks else "")
    named = looks or not first
    return Sight(
        Sides.drawn(session().subject, pair["preference_id"]),
        said["mine"],
        named,
        named and not said["hidden"],
        hindered,
    )


def _blind(id: str) -> str:
    """Where it is kept that this person began to judge the pair knowing nothing."""
    return f"blind-{id}"


def _editing(sight: Sight) -> bool:
    """Whether the texts are being edited. That ends with this pair."""
    unless = sight.hindered or ("" if sight.told else FIRST)
    on, off = ("Edit the texts", ":material/edit:", None), ("Stop editing", ":material/close:", None)
    return _switch("edit", on, off, unless) and not unless


def _switch(name: str, on: Face, off: Face, unless: str = "") -> bool:
    """Whether it is on; `on` and `off` are the button that does so. It stands in the address, so that a reload finds it
    as it was."""
    is_on = name in st.query_params
    label, icon, help = off if is_on else on
    if st.button(label, icon=icon, type="tertiary", key=name, **needs(Role.ANNOTATOR, unless=unless, help=help)):
        if is_on:
            del st.query_params[name]
        else:
            st.query_params[name] = "1"
        st.rerun()
    return is_on


def _tell_of_changes(pair: Json) -> None:
    """A choice that was made of what the pair was before meets nothing, and the person must know why."""
    key, last = f"seen-{pair['preference_id']}", pair["history"][-1].get("actor")
    before, st.session_state[key] = st.session_state.get(key), pair["version"]
    if before not in (None, pair["version"]) and last != session().subject:
        st.info(f"{plain(last)} changed this pair since you last saw it: see what it is now.", icon=":material/info:")


def _verdict(form: Once, pair: Json, sight: Sight) -> Json | None:
    verdict = pair["verdict"] if sight.told else None
    if verdict == "edited":
        st.caption("As it was edited")
        as_it_stands(pair, sight.sides)
        st.caption("As it was proposed: a choice would take these texts instead")
    as_proposed(pair, sight.sides, verdict, sight.named)
    rated = ratings(form, pair, None, sight.sides)
    said = _note(form, None)
    with st.container(horizontal=True):
        for choice, (label, icon, key, reason) in CHOICES.items():
            allowed = needs(Role.ANNOTATOR, unless=sight.hindered, help=reason)
            if st.button(label, icon=icon, shortcut=key, key=form.widget(f"choose-{choice}"), **allowed):
                return {"verdict": sight.sides.verdict(choice), "note": said, **rated}
    return None


def _edit(form: Once, pair: Json, sight: Sight) -> Json | None:
    seen, texts = as_seen(pair, sight.mine), {}
    for column, side in zip(st.columns(2), places(pair, sight.mine, sight.sides), strict=True):
        with column:
            texts[side] = _text(form, seen, side, is_turned(pair, sight.mine))
    if outvoted(pair, sight.mine):
        st.caption("Most people chose the other answer than you: with an edit you say that theirs is the better one.")
    rated = ratings(form, pair, sight.mine, sight.sides)
    said = _note(form, sight.mine)
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair))
    if st.button("Save the edit", type="primary", icon=":material/save:", key=form.widget("edit"), **allowed):
        if all(text == seen[side][-1]["content"] for side, text in texts.items()):
            st.info("Both texts stand as they were: change one, or choose one.", icon=":material/info:")
            return None
        return {"verdict": "edited", **texts, "note": said, **rated}
    return None


def _text(form: Once, seen: Json, side: str, turned: bool) -> str:
    """A draft stays with its answer, whichever is the better one by now."""
    answer = "other" if (side == "rejected") != turned else "proposed"
    said: str = st.text_area(EDITED[side], height=220, **form.field(f"text-{answer}", seen[side][-1]["content"]))
    return said


def _note(form: Once, mine: Json | None) -> str:
    said: str = st.text_input(
        "Note",
        placeholder="Why (optional)",
        max_chars=4000,
        **form.field("note", mine["note"] if mine and not mine["undone"] else ""),
        **needs(Role.ANNOTATOR),
    )
    return said


def _withdraw(pair: Json) -> str:
    """What was done, where it was."""
    form = Once(f"withdraw-{pair['preference_id']}", pair["version"])
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair))
    with st.expander("Withdraw", icon=":material/delete:"):
        st.caption("Takes the pair out of every later dataset, for good. Its history stays.")
        reason = st.text_input(
            "Reason", placeholder="Why (optional)", max_chars=2000, **form.field("reason"), **allowed
        )
        pressed = st.button("Withdraw the pair", icon=":material/delete:", key=form.widget("go"), **allowed)
    place = ("preferences", pair["preference_id"])
    return "withdrawn" if pressed and form.send("DELETE", *place, version=form.version, reason=reason) else ""
