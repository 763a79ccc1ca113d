"""One training: how far it is, its curves, and the adapter that comes out."""

from __future__ import annotations

import altair as alt
import streamlit as st

from ui.api import ApiError, Json
from ui.links import link
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import facts, state_badge
from ui.texts import LIVE_STATES, number, plain, short, span
from ui.troubles import live

LOG_BYTES = 16_384
CURVES = {
    "loss": (
        "Loss",
        "#0f6b66",
        "What training lowers: DPO’s loss, plus that of its companions (see the configuration).",
    ),
    "margin": ("Reward margin", "#c2702e", "How much more the adapter rewards the chosen answers than the rejected."),
    "accuracy": ("Reward accuracy", "#5b6fb5", "The share of pairs whose chosen answer is rewarded more."),
}


HEALTH = {
    "chosen_shift": ("Chosen log-probs", "Their mean lead over the reference, in nats an answer; below 0 they fall."),
    "kl": ("KL from the reference", "An estimate on the dataset’s answers, in nats a token."),
    "grad_norm": ("Gradient norm", "Before it is clipped."),
    "length_lead": ("Length lead", "How many tokens longer the chosen answers of the step are than the rejected."),
    "truncated": ("Cut at max_length", "The share of the step’s pairs."),
    "entropy": ("Entropy", "Of the next token, in nats: falling to 0, the model says the same whatever is asked."),
}
HEALTH_COLOUR = "#7a6f9b"


def show_training(id: str) -> None:
    """The training's page. While it runs, it is drawn again every second."""
    run = api().one("training-runs", id)
    live(lambda: _draw(id), going=run["state"] in LIVE_STATES)


def _draw(id: str) -> bool:
    run = api().one("training-runs", id)
    going = run["state"] in LIVE_STATES
    st.title(f"Training of {plain(run['adapter_name'] or run['alias'])}")
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run["state"])
        st.caption(f"{plain(run['base_model'])} on dataset {short(run['dataset_id'])} · by {plain(run['actor'])}")
        if going:
            _cancel(id)
    if run["reason"]:
        st.warning(plain(run["reason"]), icon=":material/info:")
    _progress(run)
    _outcome(run)
    _warnings(id, run)
    _curves(id, going)
    _details(id, run)
    return going


def _cancel(id: str) -> None:
    form = Once(f"cancel-{id}")
    pressed = st.button("Cancel", icon=":material/stop:", key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and form.send("POST", "training-runs", id, "cancel", body={"reason": ""}):
        st.rerun()


def _progress(run: Json) -> None:
    left = f", {span(run['seconds_left'])} left" if run["state"] == "running" and run["seconds_left"] else ""
    text = {
        "requested": "Waiting for the trainer",
        "running": f"Step {run['step']} of {run['total_steps']}{left}" if run["step"] else "Loading the model",
    }.get(run["state"], f"Step {run['step']} of {run['total_steps']}")
    st.progress(min(1.0, run["step"] / max(1, run["total_steps"])), text=text)


def _outcome(run: Json) -> None:
    if run["state"] != "completed":
        return
    facts(
        {
            "Loss before": number(run["loss_before"]),
            "Loss after": number(run["loss_after"]),
            "Pairs": f"{run['pairs']:,}",
            "Time": span(run["seconds"]),
        }
    )
    link("adapters", f"Open {run['adapter_name']}", adapter=run["adapter_name"])


def _warnings(id: str, run: Json) -> None:
    """The health panel: what the numbers warn of. A training that was stopped early says by which."""
    if run["stopped_by"]:
        st.info(f"Stopped early, at step {run['step']}, by {plain(run['stopped_by'])}.", icon=":material/front_hand:")
    if not run["step"]:
        return
    found = api().all("training-runs", id, "health")
    for warning in found:
        st.warning(f"{plain(warning['says'])}. {plain(warning['advice'])}", icon=":material/monitor_heart:")
    if not found:
        st.caption(":material/monitor_heart: Its numbers warn of nothing.")


def _curves(id: str, going: bool) -> None:
    steps = api().all("training-runs", id, "metrics")
    if not steps:
        st.caption("The curves begin with the first step." if going else "There are no curves: no step was made.")
        return
    for place, (name, (title, colour, meaning)) in zip(st.columns(3), CURVES.items(), strict=True):
        with place:
            st.markdown(f"**{title}** {number(steps[-1][name])}", help=meaning)
            points = [{"step": step["step"], "value": step[name]} for step in steps]
            st.altair_chart(_curve(points, colour), key=f"curve-{name}")
    with st.expander("Health", icon=":material/monitor_heart:", expanded=True):
        places = st.columns(3)
        for index, (name, (title, meaning)) in enumerate(HEALTH.items()):
            points = [{"step": step["step"], "value": step[name]} for step in steps if step[name] is not None]
            with places[index % 3]:
                st.markdown(f"**{title}** {number(points[-1]['value']) if points else 'not measured'}", help=meaning)
                if points:
                    st.altair_chart(_curve(points, HEALTH_COLOUR), key=f"curve-{name}")


def _curve(points: list[Json], colour: str) -> alt.Chart:
    curve: alt.Chart = (
        alt.Chart(alt.InlineData(values=points), height=220)
        .mark_line(color=colour, point={"color": colour})
        .encode(
            x=alt.X("step:Q", title="Step", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        )
    )
    return curve


def _details(id: str, run: Json) -> None:
    with st.expander("Configuration", icon=":material/tune:"):
        st.json(run["config"])
    with st.expander("Log", icon=":material/terminal:"):
        if st.toggle("Show the trainer’s log", key=f"log-{id}"):
            _log(id)


def _log(id: str) -> None:
    """Its end; while the training runs, it grows with the page."""
    try:
        text = api().text("training-runs", id, "log", tail=LOG_BYTES)
    except ApiError as error:
        if error.status != 404:
            raise
        st.info(plain(error.detail), icon=":material/info:")  # it lies on the trainer's machine
    else:
        st.code(text or "Nothing is written yet.", language=None, wrap_lines=True, height=320)
