"""One run: its answers, model calls, ballots and pairs, as they arrive."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from ui.api import Json
from ui.links import go, link
from ui.once import Once
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import Columns, facts, numbers, sheet, state_badge, table, when
from ui.texts import brief, count, moment, number, plain, span
from ui.troubles import live
from ui.views.call import show_call

LIVE_STATES = ("requested", "running")
PARTS = ("Answers", "Steps", "Ballots", "Pairs")


def show_run(id: str) -> None:
    """The run's page. While it works, it is drawn again every second."""
    run = api().one("workflows", id)
    st.title(plain(brief(run["task"], 100)))
    live(lambda: _draw(id), going=run["state"] in LIVE_STATES)


def _draw(id: str) -> bool:
    run = api().one("workflows", id)
    going = run["state"] in LIVE_STATES
    _head(run, going)
    steps = api().every("workflows", id, "steps")
    part = st.segmented_control(
        "Show", PARTS, default=PARTS[0], required=True, key="part", bind="query-params", label_visibility="collapsed"
    )
    match part:
        case "Steps":
            _steps(steps)
        case "Ballots":
            _ballots(id, steps)
        case "Pairs":
            _pairs(id)
        case _:
            _answers(steps, going)
    return going


def _head(run: Json, going: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run["state"])
        kind = run["kind"].replace("_", " ")
        st.caption(f"{plain(kind)} · agents.yaml revision {run['roster_revision']} · by {plain(run['actor'])}")
        _stop(run, going)
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


def _stop(run: Json, going: bool) -> None:
    if not going:
        return
    form = Once(f"stop-{run['run_id']}")
    if st.button("Stop", icon=":material/stop:", key=form.widget("go"), **needs(Role.OPERATOR)) and form.send(
        "POST", "workflows", run["run_id"], "stop", body={"reason": ""}
    ):
        st.rerun()


def _time(run: Json) -> str:
    started, finished = moment(run["started_at"]), moment(run["finished_at"])
    if not started:
        return "waiting for a worker"
    return span(((finished or datetime.now(UTC)) - started).total_seconds())


def _answers(steps: list[Json], going: bool) -> None:
    answers = [step for step in steps if step["phase"] == "answer"]
    if not answers:
        st.info("The first answers arrive in a moment." if going else "The run ended before anybody had answered.")
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


def _steps(steps: list[Json]) -> None:
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
    chosen = table(steps, columns, "steps", "No step is recorded yet.")
    if chosen:
        show_call(chosen)
    elif steps:
        st.caption("Choose a row to read the whole call.")


def _ballots(id: str, steps: list[Json]) -> None:
    authors = {step["step_id"]: step["agent"] for step in steps}
    ballots = [_ballot(ballot, authors) for ballot in api().all("workflows", id, "ballots")]
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


def _pairs(id: str) -> None:
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
    if chosen := table(pairs, columns, "pairs", "No pair yet: pairs follow from the ballots of a completed run."):
        go("annotate", pair=chosen["preference_id"], run=id)
    if pairs:
        sure = number(max(pair["probability"] for pair in pairs) * 100, 0)
        st.caption(f"{count(len(pairs), 'pair')}; the ballots are surest of one at {sure} %.")
        link("annotate", "Annotate these pairs", run=id)
