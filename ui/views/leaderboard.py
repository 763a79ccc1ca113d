"""The leaderboard: how strong the agents are by all ballots, now and over time, and how well each judge judges."""

from __future__ import annotations

from datetime import date, timedelta

import altair as alt
import streamlit as st

from ui.api import Json
from ui.person import api
from ui.tables import FILTER, Columns, numbers, sheet

METHODS = ("bradley-terry/2", "borda/1", "copeland/1")
TODAYS = METHODS[0]
PERIODS = ("day", "week", "month")
CHECKS = {"borda/1": "Place by Borda", "copeland/1": "Place by Copeland"}
EMPTY = "No ballot is counted yet. Agents stand here once a mutual ranking is under way: start one under Runs."
ESTIMATES = {
    "discrimination": ("Tells apart", "1 is the average ballot; 0 is chance; below 0 it goes against the others."),
    "position_bias": ("For what comes first", "Log-odds. Empty: it sees one answer at a time."),
    "self_preference": (
        "For its own",
        "For its own answers, and those of its own model and adapter, in log-odds. Empty: it never had the choice.",
    ),
}


def page() -> None:
    """Agents, their way, and judges."""
    st.title("Leaderboard")
    st.caption(
        "By the ballots of all runs. Strengths are log-odds of winning a ballot against the average agent; lines and "
        "brackets are 95% intervals. Where they overlap much, there are too few ballots to tell."
    )
    method = st.selectbox("Method", METHODS, key="method", bind="query-params")
    _agents(api().one("leaderboard", method=method))
    _over_time(method)
    _judges()


def _agents(found: Json) -> None:
    rows = [_flat(each) for each in found["items"]]
    if rows and all(row["low"] is not None for row in rows):
        st.altair_chart(_intervals(rows), key="strengths")
    columns: Columns = {
        "place": numbers("Place"),
        "agent": "Agent",
        "strength": numbers("Strength", "%+.2f"),
        "interval": "95% interval",
        "won": numbers("Won"),
        "lost": numbers("Lost"),
        "tied": numbers("Tied"),
        **{check: numbers(heading, help="By counting alone, to check with.") for check, heading in CHECKS.items()},
    }
    sheet(rows, columns, "standings", EMPTY)


def _over_time(method: str) -> None:
    st.subheader("Over time")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        every = st.segmented_control("By", PERIODS, default=PERIODS[0], key="every", **FILTER) or PERIODS[0]
        cumulative = st.toggle("With all that was before", key="cumulative", bind="query-params")
    windows = api().all("leaderboard", "history", every=every, cumulative=cumulative, method=method)
    points = [
        {"day": _last_day(window), "agent": each["agent"], "strength": each["strength"]["value"]}
        for window in windows
        for each in window["agents"]
    ]
    if points:
        st.altair_chart(_curves(points), key="history")
    else:
        st.caption("The curves begin with the first ballot.")


def _judges() -> None:
    st.subheader("Judges")
    rows = [each | {name: each[name] and _estimated(each[name]) for name in ESTIMATES} for each in api().all("judges")]
    columns: Columns = {
        "judge": "Judge",
        "method": "Ballots by",
        "ballots": numbers("Ballots"),
        "unparseable": numbers("Unreadable"),
        "tie": numbers("Ties"),
        **{name: st.column_config.TextColumn(heading, help=help) for name, (heading, help) in ESTIMATES.items()},
        "agreement": numbers("Agrees", "percent", help="With other judges of the same two answers."),
    }
    sheet(rows, columns, "judges", "Nobody has judged yet.")


def _last_day(window: Json) -> str:
    return (date.fromisoformat(window["until"]) - timedelta(days=1)).isoformat()


def _flat(standing: Json) -> Json:
    strength = standing["strength"]
    return {
        **standing,
        **standing["places"],
        **strength,
        "strength": strength["value"],
        "interval": _interval(strength),
    }


def _estimated(estimate: Json) -> str:
    return f"{estimate['value']:+.2f} ({_interval(estimate)})"


def _interval(estimate: Json) -> str | None:
    return None if estimate["low"] is None else f"{estimate['low']:+.2f} to {estimate['high']:+.2f}"


def _intervals(rows: list[Json]) -> alt.LayerChart | alt.FacetChart:
    agents = alt.Y("agent:N", title=None, sort=[row["agent"] for row in rows])
    values = [{name: row[name] for name in ("agent", "strength", "low", "high")} for row in rows]
    chart = alt.Chart(alt.InlineData(values=values), height=60 + 28 * len(rows))
    return alt.layer(
        chart.mark_rule(color="#0f6b66").encode(y=agents, x=alt.X("low:Q", title="Strength"), x2="high:Q"),
        chart.mark_point(color="#0f6b66", filled=True, size=70).encode(y=agents, x="strength:Q"),
    )


def _curves(points: list[Json]) -> alt.Chart:
    curves: alt.Chart = (
        alt.Chart(alt.InlineData(values=points), height=260)
        .mark_line(point=True)
        .encode(
            x=alt.X("day:T", title="Up to and with", axis=alt.Axis(format="%-d %b", grid=False)),
            y=alt.Y("strength:Q", title="Strength"),
            color=alt.Color("agent:N", title=None),
        )
    )
    return curves
