"""One pair, and what a person says of it. Until they have spoken, they are not shown what others think."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from domain.sides import LEFT, NEITHER, OPEN, RIGHT, Sides
from ui.api import PAGE_LIMIT, Json
from ui.links import back, open_here
from ui.once import Once
from ui.person import api, draft, keep_draft, needs, session
from ui.session import Role
from ui.texts import plain
from ui.troubles import in_words
from ui.views.judging import (
    EDITED,
    GONE,
    SAME,
    assignment,
    last_word,
    note,
    opinions,
    ratings,
    reasons,
    skip,
    unless_withdrawn,
)
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
LOOK = (
    "Shows whose the answers are and what was thought of them. You cannot judge this pair after that, until you sign "
    "in anew: it would not be your own word any more."
)
LOOKED = "You have looked whose the answers are: leave this pair to those who have not, with Skip or Next."
FIRST = "Say first which answer is better: what you would edit shows what others think."
REFUSED = in_words(
    GONE
    | {
        412: "Somebody changed this pair or the rubric while you looked at it, so nothing was saved. Reload the page, "
        "see what it is now, and say it again: what you wrote is kept.",
    }
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What this person sees of a pair. `mine`: what they said of it. `named`: also whose the answers are and which one
    was proposed as better; `told`: also what others said. `hindered`: why they cannot judge it."""

    sides: Sides
    mine: Json | None
    named: bool
    told: bool
    hindered: str


def show_pair(asked_for: str, run: str | None) -> None:
    """The pair's page. After an opinion the next waiting pair follows."""
    pair = api().one("preferences", asked_for)
    id = pair["preference_id"]  # however the address spells it: by it the sides are drawn
    said = api().one("preferences", id, "opinions")
    waiting = api().one("annotations", "queue", limit=PAGE_LIMIT, run=run)
    queue = [one["preference_id"] for one in waiting["items"]]
    of_run = {"run": run} if run else {}
    following = next((of_run | {"pair": other} for other in _after(id, queue) if other != id), of_run)
    with st.container(horizontal=True, vertical_alignment="center"):
        back("All pairs")
        st.caption(f"{waiting['count']:,} waiting")
        if "pair" in following and st.button("Next", icon=":material/skip_next:", shortcut="N", key=f"next-{id}"):
            open_here(**following)
        if id in queue:
            skip(pair, following)
        sight = _sight(pair, said)
    last_word(of_run)
    prompt(pair)
    reasons(next((one for one in waiting["items"] if one["preference_id"] == id), None))
    origin(pair, sight.sides if sight.named else None)
    if sight.told:
        _tell_of_changes(pair)
        standing(pair, sight.sides)
    _judge(pair, sight, following | {"judged": id})
    if not sight.told:
        said = said | {"others": [], "hidden": said["hidden"] or len(said["others"])}
    opinions(pair, said, sight.sides)
    assignment(pair)
    note(pair)
    if sight.told:
        history(pair, sight.sides)
    _withdraw(pair, following)


def _after(id: str, queue: list[str]) -> list[str]:
    """The queue from that pair on, and then around."""
    at = queue.index(id) if id in queue else 0
    return queue[at:] + queue[:at]


def _sight(pair: Json, said: Json) -> Sight:
    """Whose word on an open pair would be their first is shown nothing that speaks for an answer, unless they only want
    to look: also while others settle it meanwhile."""
    blind = f"blind-{pair['preference_id']}"
    asked = pair["state"] in OPEN or (blind in st.session_state and not unless_withdrawn(pair))
    first = said["mine"] is None and asked and session().role >= Role.ANNOTATOR
    if first:
        st.session_state[blind] = True
    else:
        st.session_state.pop(blind, None)
    looked = first and _looked(pair["preference_id"])
    named = looked or not first
    return Sight(
        Sides.drawn(session().subject, pair["preference_id"]),
        said["mine"],
        named,
        named and not said["hidden"],
        unless_withdrawn(pair) or (LOOKED if looked else ""),
    )


def _looked(id: str) -> bool:
    """Whether this person has chosen to know more of the pair than whoever judges it, since they signed in."""
    name = f"looked-{id}"
    if draft(name, False):
        return True
    with st.popover("Only look", icon=":material/visibility:", type="tertiary", key=f"look-{id}"):
        st.caption(LOOK)
        if st.button("Look, and leave it to others", icon=":material/visibility:", key=name):
            keep_draft(name, True)
            st.rerun()
    return False


def _judge(pair: Json, sight: Sight, following: dict[str, str]) -> None:
    """The answers, and what is said of them at the window's lower edge, in view however long they are."""
    editing = _editing(sight)
    # Whoever is not told what others do to the pair speaks of the same answers, whatever they do meanwhile.
    name = f"{'edit' if editing else 'annotate'}-{pair['preference_id']}"
    form = Once(name, pair["version"] if sight.told else 0)
    body = _edit(form, pair, sight) if editing else _verdict(form, pair, sight)
    if body:
        place, version = ("preferences", pair["preference_id"], "annotations"), form.version or None
        with st.bottom:
            form.send_and_open(following, "POST", *place, body=body, version=version, refused=REFUSED)


def _editing(sight: Sight) -> bool:
    """Whether the texts are being edited. That ends with this pair. It stands in the address, so that a reload finds it
    as it was."""
    unless = sight.hindered or ("" if sight.told else FIRST)
    is_on = "edit" in st.query_params
    label, icon = ("Stop editing", "close") if is_on else ("Edit the texts", "edit")
    allowed = needs(Role.ANNOTATOR, unless=unless)
    if st.button(label, icon=f":material/{icon}:", type="tertiary", key="edit", **allowed):
        if is_on:
            del st.query_params["edit"]
        else:
            st.query_params["edit"] = "1"
        st.rerun()
    return is_on and not unless


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
    with st.bottom:
        if sight.hindered:
            st.info(sight.hindered, icon=":material/info:")
        with st.container(horizontal=True, vertical_alignment="center"):
            said = _note(form, None)
            chosen = [choice for choice in CHOICES if _pressed(form, choice, sight)]
    return {"verdict": sight.sides.verdict(chosen[0]), "note": said, **rated} if chosen else None


def _pressed(form: Once, choice: str, sight: Sight) -> bool:
    label, icon, key, reason = CHOICES[choice]
    allowed = needs(Role.ANNOTATOR, unless=sight.hindered, help=reason)
    return st.button(label, icon=icon, shortcut=key, **form.button(f"choose-{choice}"), **allowed)


def _edit(form: Once, pair: Json, sight: Sight) -> Json | None:
    seen, texts = as_seen(pair, sight.mine), {}
    for column, side in zip(st.columns(2), places(pair, sight.mine, sight.sides), strict=True):
        with column:
            texts[side] = _text(form, seen, side, is_turned(pair, sight.mine))
    if outvoted(pair, sight.mine):
        st.caption("Most people chose the other answer than you: with an edit you say that theirs is the better one.")
    rated = ratings(form, pair, sight.mine, sight.sides)
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair))
    with st.bottom, st.container(horizontal=True, vertical_alignment="center"):
        said = _note(form, sight.mine)
        pressed = st.button("Save the edit", type="primary", icon=":material/save:", **form.button("edit"), **allowed)
    if not pressed:
        return None
    if unfit := _unless_fit(seen, texts):
        st.bottom.error(unfit, icon=":material/error:")
        return None
    return {"verdict": "edited", **texts, "note": said, **rated}


def _unless_fit(seen: Json, texts: dict[str, str]) -> str:
    """Why nothing could be learnt from these texts, and what to do."""
    if not all(text.strip() for text in texts.values()):
        return "An answer is empty: write it, or stop editing and choose Neither."
    if all(text == seen[side][-1]["content"] for side, text in texts.items()):
        return "Both texts stand as they were: change one, or stop editing and choose one."
    if texts["chosen"] == texts["rejected"]:
        return SAME
    return ""


def _text(form: Once, seen: Json, side: str, turned: bool) -> str:
    """A draft stays with its answer, whichever is the better one by now."""
    answer = "other" if (side == "rejected") != turned else "proposed"
    said: str = st.text_area(EDITED[side], height=220, **form.field(f"text-{answer}", seen[side][-1]["content"]))
    return said


def _note(form: Once, mine: Json | None) -> str:
    said: str = st.text_input(
        "Note",
        placeholder="Note: why (optional)",
        label_visibility="collapsed",
        max_chars=4000,
        **form.field("note", mine["note"] if mine and not mine["undone"] else ""),
        **needs(Role.ANNOTATOR),
    )
    return said


def _withdraw(pair: Json, following: dict[str, str]) -> None:
    form = Once(f"withdraw-{pair['preference_id']}", pair["version"])
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair))
    with st.expander("Withdraw", icon=":material/delete:"):
        st.caption("Takes the pair out of every later dataset, for good. Its history stays.")
        reason = st.text_input(
            "Reason", placeholder="Why (optional)", max_chars=2000, **form.field("reason"), **allowed
        )
        if st.button("Withdraw the pair", icon=":material/delete:", **form.button("go"), **allowed):
            place, more = ("preferences", pair["preference_id"]), {"version": form.version, "refused": REFUSED}
            form.send_and_open(following, "DELETE", *place, done="Withdrawn.", reason=reason, **more)
