"""A pair as a person sees it: the question, where it comes from, both answers, and what was said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import streamlit as st

from domain.sides import Sides
from ui.api import Json
from ui.links import link
from ui.tables import state_badge
from ui.texts import ago, number, plain

BY_HAND = "by-hand/1"
IMPORTED = "imported/"
"""Before the name of a form."""
PREFERENCES = {"accepted", "flipped"}
"""Choices of one of the two answers."""
UNDONE = "preference.undone"
SPOKEN = ("preference.annotated", "preference.revised", UNDONE)
"""Events that say what somebody's opinion is."""
RANKS = {
    None: ("Proposed as better", "Proposed as worse"),
    "accepted": ("Better", "Worse"),
    "flipped": ("Worse", "Better"),
    "rejected": ("Left out", "Left out"),
    "edited": ("Proposed as better", "Proposed as worse"),
}
"""What the latest verdict makes of the answer that was proposed as better, and of the other one."""


def prompt(pair: Json) -> None:
    """What both answer."""
    st.subheader("Which answer is better?")
    with st.container(border=True):
        for message in pair["prompt"]:
            st.caption(plain(message["role"]))
            st.text(message["content"])


def origin(pair: Json, sides: Sides | None) -> None:
    """Where the pair comes from and, unless that is to be judged without knowing it, which answer it prefers."""
    by_hand, imported = pair["method"] == BY_HAND, pair["method"].startswith(IMPORTED)
    with st.container(horizontal=True, vertical_alignment="center"):
        if by_hand:
            origin = "Written by hand"
        elif imported:
            source = pair["source"]
            judge = f", judged by {plain(source['annotator'])}" if source["annotator"] else ""
            origin = f"Imported from line {source['line']:,} of a file{judge}"
        else:
            origin = f"Proposed by the ballots of its run, {plain(pair['method'])}"
        if sides:
            sure = "" if by_hand or imported else f" ({number(pair['probability'] * 100, 0)} % sure)"
            origin += f": {sides.told('accepted')}{sure}"
        st.caption(f"{origin}.")
        if imported:
            link("jobs", "The import", job=pair["source"]["import_id"])


def standing(pair: Json, sides: Sides) -> None:
    """What was made of it, and the latest word on it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(pair["state"])
        if pair["verdict"]:
            who = f"; the last word was {plain(pair['annotated_by'])}’s" if pair["annotated_by"] else ""
            kind = f" ({pair['annotator_kind']})" if pair["annotator_kind"] else ""
            when = f", {ago(pair['annotated_at'])}" if pair["annotated_at"] else ""
            st.caption(f"{sides.told(pair['verdict'])}{who}{kind}{when}")


def as_proposed(pair: Json, sides: Sides, verdict: str | None, named: bool) -> None:
    """Both answers as they were proposed, with what that verdict makes of them; without it and their authors where they
    are not to be named."""
    proposed = pair["history"][0]["data"]["pair"]
    shown = sides.in_order(proposed["chosen"], proposed["rejected"])
    ranks = sides.in_order(*RANKS[verdict]) if named else ("Left", "Right")
    authors = [plain(answer["agent"] or "written by hand") if named else None for answer in shown]
    _side_by_side(f"proposed-{pair['preference_id']}", ranks, authors, [answer["messages"] for answer in shown])


def as_it_stands(pair: Json, sides: Sides) -> None:
    """Both answers as people left them."""
    shown = places(pair, None, sides)
    ranks = ["Better" if side == "chosen" else "Worse" for side in shown]
    authors = [plain(pair[f"{side}_agent"] or "written by hand") for side in shown]
    _side_by_side(f"standing-{pair['preference_id']}", ranks, authors, [pair[side] for side in shown])


def as_seen(pair: Json, mine: Json | None) -> Json:
    """The pair as most people prefer it; where they do not, as this person does, in their own words."""
    if mine and _most(pair) not in PREFERENCES:
        if written := words_of(pair, mine):
            return pair | written
        if is_turned(pair, mine):
            return pair | {"chosen": pair["rejected"], "rejected": pair["chosen"]}
    return pair


def words_of(pair: Json, opinion: Json) -> Json | None:
    """Both answers as that opinion rewrites them; None where it does not."""
    if opinion["verdict"] != "edited":
        return None
    for event in reversed(pair["history"]):
        if event["type"] in SPOKEN and event["data"].get("annotator") == opinion["annotator"]:
            words = event["data"]["again"]["words"] if event["type"] == UNDONE else event["data"]["pair"]
            return {side: words[side]["messages"] for side in ("chosen", "rejected")}
    return None


def outvoted(pair: Json, mine: Json | None) -> bool:
    """Whether most people prefer another answer than this person."""
    return mine is not None and {_most(pair), mine["choice"]} == PREFERENCES


def is_turned(pair: Json, mine: Json | None) -> bool:
    """Whether the better answer of the pair as it is seen is the one that was proposed as the worse."""
    most = _most(pair)
    return (most if most in PREFERENCES or not mine else mine["choice"]) == "flipped"


def places(pair: Json, mine: Json | None, sides: Sides) -> tuple[str, str]:
    """`chosen` and `rejected` of the pair as it is seen, each where that answer is shown."""
    return sides.in_order("rejected", "chosen") if is_turned(pair, mine) else sides.in_order("chosen", "rejected")


def _most(pair: Json) -> str | None:
    """What most people chose, of the pair as it was proposed. Before several people judged a pair, an edit was of the
    answer that was proposed as the better."""
    if pair["verdict"] != "edited":
        return cast(str | None, pair["verdict"])
    told = [event["data"]["consensus"]["choice"] for event in pair["history"] if "consensus" in event["data"]]
    return told[-1] if told else "accepted"


def _side_by_side(
    name: str, ranks: Sequence[str], authors: Sequence[str | None], answers: Sequence[list[Json]]
) -> None:
    """Long ones scroll in their frames (style.css), which begin at the top where `name` is another one."""
    for side, (column, rank, author, messages) in enumerate(zip(st.columns(2), ranks, authors, answers, strict=True)):
        with column, st.container(border=True):
            st.markdown(f"**{rank}** · {author}" if author else f"**{rank}**")
            with st.container(key=f"answer-{name}-{side}"):
                for message in messages:
                    if len(messages) > 1:
                        st.caption(plain(message["role"]))
                    st.text(message["content"])


def history(pair: Json, sides: Sides) -> None:
    """What happened to it, by whom and why."""
    with st.expander(f"History ({len(pair['history'])})", icon=":material/history:"):
        for event in pair["history"]:
            data = event["data"]
            what = sides.told(data.get("verdict") or event["type"].rpartition(".")[2])
            who = f"{plain(event.get('actor', '?'))} · {ago(event['time'])}"
            st.markdown(f"**{plain(what)}** by {who}")
            if said := data.get("note") or data.get("reason"):
                st.text(said)
