"""One run: its answers, model calls, ballots and pairs, as they arrive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from ui.api import Json
from ui.links import go, link
from ui.once import Once
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import Columns, facts, numbers, sheet, state_badge, table, when
from ui.texts import LIVE_STATES, brief, count, moment, number, plain, span
from ui.troubles import live
from ui.views.call import show_call

PAIRS_SECONDS = 10.0


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
    if run["state"] in LIVE_STATES:
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
        st.caption(f"{plain(kind)} · agents.yaml revision {run['roster_revision']} · by {plain(run['actor'])}")
        if run["state"] in LIVE_STATES:
            _stop(run["run_id"])
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
        st.caption(plain(", ".join(f"{one['agent']} on {one['adapter'] or 'the base model'}" for one in run["cast"])))
    return _going(run)


def _stop(id: str) -> None:
    form = Once(f"stop-{id}")
    pressed = st.button("Stop", icon=":material/stop:", key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and form.send("POST", "workflows", id, "stop", body={"reason": ""}):
        st.rerun()


def _time(run: Json) -> str:
    started, finished = moment(run["started_at"]), moment(run["finished_at"])
    if not started:
        return "waiting for a worker"
    return span(((finished or datetime.now(UTC)) - started).total_seconds())


def _answers(run: Json, steps: list[Json]) -> None:
    answers = [step for step in steps if step["phase"] == "answer"]
    if not answers:
        working = run["state"] in LIVE_STATES
        st.info("The first answers arrive in a moment." if working else "The run ended before anybody had answered.")
        return
    for turn in sorted({step["n"] for step in answers}):
        in_turn = [step for step in answers if step["n"] == turn]
        st.markdown("**Asked**")
        st.text(in_turn[0]["messages"][-1]["content"])
        left, right = st.columns(2)
        for index, step in enumerate(in_turn):
            with (left, right)[index % 2], st.container(border=True):
                _answer(step)


def _answer(step: Json) -> None:
    st.markdown(f"**{plain(step['agent'])}**")
    if step["error"]:
        st.error(plain(step["error"]))
    st.text(step["output"])
    cut = " · cut off at its token limit" if step["finish_reason"] == "length" else ""
    tokens = count(step["output_tokens"], "token")
    st.caption(f"{plain(step['adapter'] or step['model'])} · {tokens} in {span(step['latency'])}{cut}")


def _steps(_run: Json, steps: list[Json]) -> None:
    columns: Columns = {
        "recorded_at": when("Recorded"),
        "agent": "Agent",
        "phase": "Phase",
        "n": numbers("No."),
        "output": st.column_config.TextColumn("Output", width="medium"),
        "score": numbers("Score", "%.3f", "Mean log-probability of the given answer, in nats per token."),
        "adapter": "Adapter",
        "output_tokens": numbers("Tokens"),
        "latency": numbers("Seconds", "%.2f"),
    }
    chosen = table(steps, columns, "step_id", "No step is recorded yet.", keep="step")
    if chosen:
        show_call(chosen)
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
    if chosen := table(
        pairs, columns, "preference_id", "No pair yet: pairs follow from the ballots of a completed run."
    ):
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
}
"""What can be shown of a run and its steps."""
