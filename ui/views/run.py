"""One run: its answers, model calls, ballots and pairs, as they arrive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import zip_longest

import streamlit as st

from ui.api import Json
from ui.ears import being_said
from ui.links import go, link
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, facts, numbers, sheet, state_badge, table, when
from ui.texts import FELL_SHORT, LIVE_STATES, brief, count, moment, number, plain, span
from ui.troubles import live
from ui.views.call import show_call
from ui.views.fork import comparison, fork_here
from ui.views.judging import unspoken
from ui.views.work import show_work

PAIRS_SECONDS = 10.0
NO_ANSWER = {
    **dict.fromkeys(LIVE_STATES, "The first answers arrive in a moment."),
    "paused": "The run was paused before anybody had answered.",
}
ICONS = {"pause": "pause", "resume": "play_arrow", "retry": "replay", "stop": "stop"}


def show_run(id: str) -> None:
    """The run's page. While it works, it is drawn again every second."""
    run = api().one("workflows", id)
    st.title(plain(brief(run["task"], 100)))
    live(lambda: _head(api().one("workflows", id)), going=_going(run))
    part = st.segmented_control(
        "Show",
        list(PARTS),
        default="Answers",
        required=True,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    live(lambda: _part(id, part), going=_going(run))


def _going(run: Json) -> bool:
    """Whether more is to come. The pairs of a run follow after its end."""
    if run["state"] in LIVE_STATES or (run["worker"] and run["state"] == "paused"):
        return True
    finished = moment(run["finished_at"])
    return finished is not None and (datetime.now(UTC) - finished).total_seconds() < PAIRS_SECONDS


def _part(id: str, part: str) -> bool:
    run = api().one("workflows", id)
    PARTS[part](run, api().every("workflows", id, "steps"))
    return _going(run)


def _head(run: Json) -> bool:
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run["state"])
        kind = run["kind"].replace("_", " ")
        fork = " · a fork" if run["forked_from"] else ""
        st.caption(f"{plain(kind)}{fork} · agents.yaml revision {run['roster_revision']} · by {plain(run['actor'])}")
        for action in _actions(run["state"]):
            _act(run["run_id"], action)
    if run["reason"]:
        st.warning(plain(run["reason"]), icon=":material/info:")
    tokens = f"{run['input_tokens']:,} in, {run['output_tokens']:,} out"
    facts(
        {
            "Steps": f"{run['steps']:,}",
            "Ballots": f"{run['ballots']:,}" + (f" ({run['unparseable']} unreadable)" if run["unparseable"] else ""),
            "Tokens": tokens,
            "Time": _time(run),
        }
    )
    if run["cast"]:
        cast = [f"{one['agent']} on {one['adapter']}" if one["adapter"] else one["agent"] for one in run["cast"]]
        st.caption(plain(", ".join(cast)))
    return _going(run)


def _actions(state: str) -> tuple[str, ...]:
    """What can be done to a run in that state."""
    if state in LIVE_STATES:
        return "pause", "stop"
    if state == "paused":
        return "resume", "stop"
    if state == "exhausted":
        return ("retry without limits",)
    return ("retry",) if state in FELL_SHORT else ()


def _act(id: str, action: str) -> None:
    form = Once(f"{action}-{id}")
    command, _, unlimited = action.partition(" ")
    icon = f":material/{ICONS[command]}:"
    pressed = st.button(action.capitalize(), icon=icon, key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and form.send("POST", "workflows", id, command, body={"limits": {}} if unlimited else None):
        st.rerun()


def _time(run: Json) -> str:
    started, finished = moment(run["started_at"]), moment(run["finished_at"])
    if not started:
        return "waiting for a worker"
    return span(((finished or datetime.now(UTC)) - started).total_seconds())


def _answers(run: Json, steps: list[Json]) -> None:
    turns = _by_turn(steps)
    recorded = {step["step_id"] for step in steps}
    growing = being_said(api(), run["run_id"]) if run["state"] in LIVE_STATES else []
    growing = [one for one in growing if one["step"] not in recorded]
    if run["kind"] == "workforce":
        show_work(run)
    elif not turns and not growing:
        st.info(NO_ANSWER.get(run["state"], "The run ended before anybody had answered."))
        return
    for in_turn in turns:
        st.markdown("**Asked**")
        asked = [message for message in in_turn[0]["messages"] if message["role"] == "user"]
        st.text(asked[-1]["content"])
        left, right = st.columns(2)
        for index, step in enumerate(in_turn):
            with (left, right)[index % 2], st.container(border=True):
                _answer(step)
    if growing:
        st.markdown("**Just now**")
    for one in growing:
        with st.container(border=True):
            st.markdown(f"**{plain(one['agent'])}** · {plain(one['phase'])}")
            st.text(f"{one['text']} ▌")


def _by_turn(steps: list[Json]) -> list[list[Json]]:
    """The agents' first answers, their second ones and so on, without those in which they wanted tools first."""
    by_agent: dict[str, list[Json]] = {}
    for step in sorted(steps, key=lambda step: step["n"]):
        wants_tools = any(call["error"] is None and not call["result"] for call in step["tool_calls"])
        if step["phase"] == "answer" and not wants_tools:
            by_agent.setdefault(step["agent"], []).append(step)
    turns = zip_longest(*by_agent.values())
    return [[step for step in turn if step] for turn in turns]


def _answer(step: Json) -> None:
    st.markdown(f"**{plain(step['agent'])}**")
    if step["error"]:
        st.error(plain(step["error"]))
    st.text(step["output"])
    cut = " · cut off at its token limit" if step["finish_reason"] == "length" else ""
    took = "given before" if step["cached"] else f"{count(step['output_tokens'], 'token')} in {span(step['latency'])}"
    st.caption(f"{plain(step['adapter'] or step['model'])} · {took}{cut}")


def _steps(run: Json, steps: list[Json]) -> None:
    shown = [step | {"tools": ", ".join(call["name"] for call in step["tool_calls"])} for step in steps]
    columns: Columns = {
        "recorded_at": when("Recorded"),
        "agent": "Agent",
        "phase": "Phase",
        "n": numbers("No."),
        "tools": st.column_config.TextColumn("Tools", help="Asked for, or used, in that step."),
        "output": st.column_config.TextColumn("Output", width="medium"),
        "score": numbers("Score", "%.3f", "Mean log-probability of the given answer, in nats per token."),
        "adapter": "Adapter",
        "output_tokens": numbers("Tokens"),
        "latency": numbers("Seconds", "%.2f"),
        "cached": st.column_config.CheckboxColumn("Cached", help="The answer was given before: no model was asked."),
    }
    chosen = table(shown, columns, "step_id", "No step is recorded yet.", keep="step")
    if chosen:
        show_call(chosen)
        fork_here(run, chosen)
    elif steps:
        st.caption("Choose a row to read the whole call.")


def _ballots(run: Json, steps: list[Json]) -> None:
    authors = {step["step_id"]: step["agent"] for step in steps}
    ballots = [_ballot(ballot, authors) for ballot in api().all("workflows", run["run_id"], "ballots")]
    columns: Columns = {
        "recorded_at": when("Cast"),
        "judge": "Judge",
        "better": "Prefers",
        "worse": "To",
        "margin": numbers(
            "Margin", "%.3f", "By how much, in nats per token; none where the method has no such number."
        ),
        "method": "Method",
    }
    sheet(ballots, columns, "ballots", "No ballot is cast yet: judging begins when the answers are there.")


def _ballot(ballot: Json, authors: dict[str, str]) -> Json:
    first, second = (authors.get(ballot[place], "?") for place in ("first", "second"))
    better, worse = {
        "first": (first, second),
        "second": (second, first),
        "tie": ("neither", f"{first} = {second}"),
    }.get(ballot["outcome"], ("could not be read", f"{first}, {second}"))
    return ballot | {"better": better, "worse": worse}


def _pairs(run: Json, _steps: list[Json]) -> None:
    id = run["run_id"]
    pairs = api().every("preferences", run=id)
    columns: Columns = {
        "chosen_agent": "Better",
        "rejected_agent": "Worse",
        "probability": numbers("Probability", "percent", "How often the better answer would win a ballot."),
        "margin": numbers("Margin (log-odds)", "%.2f"),
        "state": "State",
        "verdict": "Verdict",
        "annotated_by": "By",
    }
    rows, empty = [unspoken(pair) for pair in pairs], "No pair yet: pairs follow from the ballots of a completed run."
    if chosen := table(rows, columns, "preference_id", empty):
        go("annotate", pair=chosen["preference_id"], run=id)
    if pairs:
        sure = number(max(pair["probability"] for pair in pairs) * 100, 0)
        st.caption(f"{count(len(pairs), 'pair')}; the ballots are surest of one at {sure} %.")
        link("annotate", "Annotate these pairs", run=id)


PARTS: dict[str, Callable[[Json, list[Json]], None]] = {
    "Answers": _answers,
    "Steps": _steps,
    "Ballots": _ballots,
    "Pairs": _pairs,
    "Comparison": lambda run, _steps: comparison(run),
}
"""What can be shown of a run and its steps."""
