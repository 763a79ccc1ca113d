"""What an adapter is worth and what became of it: evaluations, its history, the runs that used it, and its copies."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import link
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, facts, sheet, when
from ui.texts import ago, count, plain

AGAINST = {"base": "the base model", "production": "what is in use"}
HAPPENED = {
    "lora_adapter.reserved": "its training began",
    "lora_adapter.registered": "trained",
    "lora_adapter.promoted": "promoted",
    "lora_adapter.rolled_back": "rolled back",
    "lora_adapter.retired": "retired",
}


def interval(found: Json | None) -> str:
    """E.g. 0.64 [0.52, 0.75]."""
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]" if found else "not measured"


def evaluations(name: str, retired: bool) -> None:
    """What evaluations found, the newest first, and a form that asks for another."""
    st.subheader("Evaluations")
    for one in api().page("evaluations", adapter=name, limit=5).items:
        with st.container(border=True):
            _evaluation(one)
    form = Once(f"evaluate-{name}")
    allowed = needs(Role.OPERATOR, unless="A retired adapter is not served, and so not evaluated." if retired else "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        against = st.selectbox(
            "Against", list(AGAINST), format_func=AGAINST.__getitem__, key=form.widget("against"), **allowed
        )
        pressed = st.button("Evaluate", icon=":material/balance:", key=form.widget("go"), **allowed)
    st.caption("On prompts that its dataset held back. Judges do not know whose answer is whose.")
    if pressed and form.send("POST", "evaluations", body={"adapter": name, "against": against}):
        st.toast("A worker evaluates it.", icon=":material/balance:")
        st.rerun()


def became(passport: Json) -> None:
    """Who promoted it when and why, which runs used it, and whether it could be made again."""
    st.subheader("What became of it")
    columns: Columns = {"time": when("When"), "what": "What", "actor": "Who", "reason": "Why"}
    sheet([_happened(event) for event in passport["history"]], columns, "history", "Nothing yet.")
    st.caption(f"Used in {count(passport['runs'], 'run')}.")
    for run in passport["newest_runs"][:5]:
        link("runs", f"{run['task'][:60]} · {ago(run['requested_at'])}", run=run["run_id"])
    for again in passport["reproductions"]:
        st.caption(_again(again))


def _evaluation(one: Json) -> None:
    against, figures = plain(AGAINST.get(one["against"], one["against"])), one["figures"]
    st.caption(f"against {against} · {plain(one['state'])} · {ago(one['requested_at'])}")
    if one["reason"]:
        st.caption(plain(one["reason"]))
    if not figures:
        link("jobs", "Its job", job=one["job_id"])
        return
    accuracies = {f"Accuracy of {said['model']}": interval(said["by_mean"]) for said in figures["accuracies"]}
    facts(accuracies | {"Gain": interval(figures["gain"]), "Win rate": interval(figures["win_rate"])})
    left_out = f"; {figures['refused']} not taken by a model" if figures["refused"] else ""
    st.caption(
        f"{count(figures['pairs'], 'held-out pair')}{left_out}; {figures['won']} won, {figures['tied']} tied and "
        f"{figures['lost']} lost of {count(figures['prompts'], 'prompt')}; 95% intervals"
    )


def _happened(event: Json) -> Json:
    data = event.get("data", {})
    what = HAPPENED.get(event["type"], event["type"])
    return {"time": event["time"], "what": what, "actor": event["actor"], "reason": data.get("reason", "")}


def _again(found: Json) -> str:
    if found["same"] is None:
        return f"It is being made again: {plain(found['state'])}"
    if found["same"]:
        return f"Made again as {plain(found['adapter'])}, with the same weights."
    return f"Made again as {plain(found['adapter'])}, with other weights: {plain('; '.join(found['differs']))}"
