"""What people do with a pair besides the verdict: rate it by the rubric, look at others' words, skip, assign, note."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from domain.sides import ASKED, Sides, may_speak_first
from ui.api import Json
from ui.links import opened
from ui.once import Once
from ui.person import api, needs, session
from ui.session import Role
from ui.texts import ago, plain
from ui.troubles import in_words
from ui.views.pair_shown import words_of

WITHDRAWN = "The pair is withdrawn."
GONE = {409: "Somebody withdrew this pair meanwhile, so nothing more can be said of it. Go on with the next one."}
"""What a refusal with that status means to whoever judges."""
SAME = "Both answers say the same: let the better one say it better."
BACK = "What you said before counts again."
UNSAID = in_words({409: "There is nothing to take back: you have said nothing of this pair, or it was withdrawn."})
NOBODY = in_words(
    {
        409: "Nobody is asked about this pair any more. Reload the page to see what it is now.",
        422: "Nobody of that name can judge. Write the name of an annotator’s token, as its owner sees it at the left.",
    }
)
EDITED = {"chosen": "The better answer", "rejected": "The worse answer"}


def unless_withdrawn(pair: Json) -> str:
    """Why nobody can say anything of it any more."""
    return WITHDRAWN if pair["state"] == "withdrawn" else ""


def unless_asked(pair: Json) -> str:
    """Why nobody needs to judge it."""
    return "" if pair["state"] in ASKED else f"The pair is {pair['state']}; nobody is asked about it."


def reasons(queued: Json | None) -> None:
    """Why the pair is where it is in this person's queue."""
    if queued and queued["reasons"]:
        st.caption("In your queue: " + plain("; ".join(queued["reasons"])) + ".")


def unspoken(pair: Json) -> Json:
    """A row of a list, without what would speak for an answer where this person may still give a first word on it."""
    if session().role < Role.ANNOTATOR or not may_speak_first(session().subject, pair["state"], pair["spoken_by"]):
        return pair
    return pair | dict.fromkeys(("chosen_agent", "rejected_agent", "probability", "verdict", "annotated_by"))


def ratings(form: Once, pair: Json, mine: Json | None, sides: Sides) -> Json:
    """A row for each criterion of the rubric, as this person rated it before; what compares goes from the left answer
    to the right one. Returns what of the request's body they make: nothing where nothing is rated, since nobody has to.
    """
    rubric = api().one("annotations", "rubric")
    before = mine["ratings"] if mine and mine["rubric"] == rubric["version"] else {}
    given = {}
    with st.expander("Rate by the rubric", icon=":material/checklist:"):
        for criterion in rubric["criteria"]:
            levels, rated = range(1, len(criterion["levels"]) + 1), before.get(criterion["name"])
            level = st.segmented_control(
                criterion["question"],
                levels[::-1] if criterion["compares"] else levels,
                format_func=dict(enumerate(criterion["levels"], 1)).__getitem__,
                **form.field(
                    f"rating-{rubric['version']}-{criterion['name']}", rated and sides.level(rated, criterion)
                ),
                **needs(Role.ANNOTATOR, unless=unless_withdrawn(pair)),
            )
            if level is not None:
                given[criterion["name"]] = sides.level(level, criterion)
    return {"ratings": given, "rubric": rubric["version"]} if given else {}


def opinions(pair: Json, said: Json, sides: Sides) -> None:
    """What is said of it, as far as this person may know, and the way to take their own word back."""
    if said["hidden"]:
        st.caption(f"Judged by others: {said['hidden']}. What they said is shown once you have judged it.")
    told = [*([said["mine"]] if said["mine"] else []), *said["others"]]
    if not told:
        return
    with st.expander(f"Opinions ({len(told)} of {pair['wanted']} wanted)", icon=":material/forum:"):
        for opinion in told:
            rated = "; ".join(_rated(opinion, sides))
            who = f"{plain(opinion['annotator'])} · {ago(opinion['recorded_at'])}"
            verdict = sides.told(opinion["verdict"])
            what = f"{verdict}: {sides.told(opinion['choice'])}" if verdict == "edited" else verdict
            st.markdown(f"**{plain(what)}** by {who}" + (f" · {plain(rated)}" if rated else ""))
            for side, messages in (words_of(pair, opinion) or {}).items():
                st.text(f"{EDITED[side]}: {messages[-1]['content']}")
            if opinion["note"] and not opinion["undone"]:
                st.text(opinion["note"])
        if said["mine"]:
            _undo(pair)


def _rated(opinion: Json, sides: Sides) -> Iterator[str]:
    """Each rating in the words of its level, as seen here; where the rubric has changed since, in its number, which is
    of the pair as it was proposed."""
    rubric = api().one("annotations", "rubric")
    criteria = {each["name"]: each for each in rubric["criteria"] if rubric["version"] == opinion["rubric"]}
    for name, level in opinion["ratings"].items():
        if criterion := criteria.get(name):
            yield f"{name}: {criterion['levels'][sides.level(level, criterion) - 1]}"
        else:
            yield f"{name} {level} (as proposed)"


def _undo(pair: Json) -> None:
    form = Once(f"undo-{pair['preference_id']}", pair["version"])
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair), help=BACK)
    if st.button("Take my opinion back", icon=":material/undo:", key=form.widget("go"), **allowed):
        _rerun_if(form.send("POST", "preferences", pair["preference_id"], "undo", body={"reason": ""}, refused=UNSAID))


def last_word(of_run: dict[str, str]) -> None:
    """The verdict after which this page was shown, and the way back to its pair without it."""
    id = opened("judged")
    mine = api().one("preferences", id, "opinions")["mine"] if id else None
    if id is None or mine is None or mine["undone"]:
        return
    form = Once(f"undo-{id}")
    with st.container(horizontal=True, vertical_alignment="center"):
        verdict = Sides.drawn(session().subject, id).told(mine["verdict"])
        st.caption(f"Of the pair before you said: **{plain(verdict)}**", width="content")
        allowed = needs(Role.ANNOTATOR, help=f"{BACK} You are led back to the pair.")
        pressed = st.button("Undo", icon=":material/undo:", shortcut="U", **form.button("last"), **allowed)
    if pressed:
        place = ("preferences", id, "undo")
        form.send_and_open(of_run | {"pair": id}, "POST", *place, body={"reason": ""}, refused=UNSAID)


def skip(pair: Json, following: dict[str, str]) -> None:
    """Leaves the pair to others."""
    form = Once(f"skip-{pair['preference_id']}", pair["version"])
    allowed = needs(Role.ANNOTATOR, unless=unless_withdrawn(pair))
    with st.popover("Skip", icon=":material/skip_next:", key=form.widget("reason-and-go")):
        st.caption("You are not asked about this pair again; others are.")
        reason = st.text_input(
            "Reason for skipping", placeholder="Why (optional)", max_chars=2000, **form.field("reason"), **allowed
        )
        if st.button("Skip the pair", icon=":material/skip_next:", **form.button("go"), **allowed):
            place, more = ("preferences", pair["preference_id"], "skip"), {"body": {"reason": reason}}
            form.send_and_open(following, "POST", *place, done="Skipped.", refused=in_words(GONE), **more)


def assignment(pair: Json) -> None:
    """Who shall judge it. Annotators take it themselves; operators name anybody."""
    place = ("preferences", pair["preference_id"], "assignees")
    form = Once(f"assign-{pair['preference_id']}", pair["version"])
    with st.expander(f"Assigned ({len(pair['assigned_to'])})", icon=":material/person_add:"):
        _take(form, pair)
        for annotator in pair["assigned_to"]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{plain(annotator)}**")
                key = form.widget(f"unassign-{annotator}")
                if st.button("Unassign", icon=":material/close:", key=key, **needs(Role.OPERATOR)):
                    _rerun_if(form.send("DELETE", *place, annotator))
        allowed = needs(Role.OPERATOR, unless=unless_asked(pair))
        name = st.text_input("Annotator", placeholder="The name of their token", **form.field("annotator"), **allowed)
        if st.button("Assign", icon=":material/person_add:", key=form.widget("go"), **allowed):
            if name.strip():
                _rerun_if(form.send("PUT", *place, name.strip(), refused=NOBODY))
            else:
                st.error("Write first whose it shall be.", icon=":material/error:")


def _take(form: Once, pair: Json) -> None:
    """This person takes it, or leaves it."""
    me, place = session().subject, ("preferences", pair["preference_id"], "assignees")
    mine = me in pair["assigned_to"]
    method, label, icon = ("DELETE", "Leave it", "remove") if mine else ("PUT", "Take it", "front_hand")
    allowed = needs(Role.ANNOTATOR, unless="" if mine else unless_asked(pair))
    if st.button(label, icon=f":material/{icon}:", key=form.widget("take"), **allowed):
        _rerun_if(form.send(method, *place, me, refused=NOBODY))


def note(pair: Json) -> None:
    """A note without a verdict."""
    form = Once(f"note-{pair['preference_id']}", pair["version"])
    with st.expander("Note without a verdict", icon=":material/sticky_note_2:"):
        text = st.text_input("What others should know", max_chars=4000, **form.field("text"), **needs(Role.ANNOTATOR))
        pressed = st.button("Keep the note", icon=":material/save:", key=form.widget("go"), **needs(Role.ANNOTATOR))
        if pressed and not text.strip():
            st.error("Write first what others should know.", icon=":material/error:")
        elif pressed:
            _rerun_if(form.send("POST", "preferences", pair["preference_id"], "notes", body={"note": text}))


def _rerun_if(written: object) -> None:
    if written:
        st.rerun()
