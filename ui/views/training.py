"""Training: start one on a dataset, see them all, watch one learn."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import back, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, numbers, pager, table, when
from ui.texts import LIVE_STATES, count, short
from ui.troubles import live
from ui.views.training_run import show_training


def page() -> None:
    """The list, or the training that the address names."""
    if training := opened("training"):
        back("All trainings")
        show_training(training)
        return
    st.title("Training")
    st.caption("DPO turns a dataset into a LoRA adapter. Agents use it once it is promoted.")
    _start()
    cursor = opened("cursor")
    trainings = api().page("training-runs", limit=25, cursor=cursor)
    live(lambda: _list(cursor), going=any(run["state"] in LIVE_STATES for run in trainings.items))
    pager(trainings)


def _start() -> None:
    form = Once("start-training")
    datasets = {one["dataset_id"]: one for one in api().page("datasets", limit=100).items if one["state"] == "built"}
    allowed = needs(Role.OPERATOR)
    with st.container(border=True):
        st.subheader("Start a training")
        if not datasets:
            st.info("Training needs a dataset that is built.", icon=":material/lightbulb:")
            link("datasets", "Build a dataset")
            return
        asked = opened("dataset")
        left, right = st.columns([3, 2])
        widget = form.widget("dataset")
        dataset = left.selectbox(
            "Dataset",
            list(datasets),
            index=list(datasets).index(asked) if asked in datasets else 0,
            format_func=lambda id: _title(datasets[id]),
            key=widget,
            on_change=_into_the_address,
            args=(widget,),
            **allowed,
        )
        alias = right.text_input(
            "Adapter alias",
            **form.field("alias", "team"),
            **needs(Role.OPERATOR, help="Agents name it in agents.yaml; the new adapter becomes its next revision."),
        )
        config = _config(form)
        begin = _begin(form)
        pressed = st.button("Start", type="primary", icon=":material/play_arrow:", key=form.widget("go"), **allowed)
    body = {"dataset_id": dataset, "alias": alias, "config": config, **begin}
    if pressed and (written := form.send("POST", "training-runs", body=body)):
        open_here(training=written.id)


def _into_the_address(widget: str) -> None:
    """A reload, and a link that comes from a dataset, both find the dataset there."""
    st.query_params["dataset"] = st.session_state[widget]


def _title(dataset: Json) -> str:
    pairs = count(dataset["pairs"], "pair")
    return (
        f"{short(dataset['dataset_id'])} · {pairs}, {dataset['annotated']:,} annotated · position {dataset['as_of']:,}"
    )


def _config(form: Once) -> Json:
    """What people change most. All of it begins with the API's own defaults."""
    usual = api().defaults("TrainingConfig")
    allowed = needs(Role.OPERATOR)
    closeness = needs(
        Role.OPERATOR, help="DPO’s temperature: the larger, the closer the adapter stays to the base model."
    )
    heaviest = needs(
        Role.OPERATOR, help="Of a dataset with more, those that weigh most are taken, and of equal ones by lot."
    )
    cut = needs(Role.OPERATOR, help="Of prompt and answer together; what is beyond is cut off.")
    first, second = st.columns(3), st.columns(3)
    steps = first[0].number_input("Steps", 1, 10_000, **form.field("steps", usual["max_steps"]), **allowed)
    pairs = first[1].number_input("Most pairs", 1, 1_000_000, **form.field("pairs", usual["max_pairs"]), **heaviest)
    length = first[2].number_input("Most tokens", 1, 8_192, **form.field("length", usual["max_length"]), **cut)
    rate = second[0].number_input(
        "Learning rate",
        1e-7,
        0.1,
        step=1e-5,
        format="%.6f",
        **form.field("rate", usual["learning_rate"]),
        **allowed,
    )
    beta = second[1].number_input("Beta", 0.01, 5.0, step=0.05, **form.field("beta", usual["beta"]), **closeness)
    seed = second[2].number_input("Seed", 0, 2**31 - 1, **form.field("seed", usual["seed"]), **allowed)
    return {
        "max_steps": steps,
        "max_pairs": pairs,
        "max_length": length,
        "learning_rate": rate,
        "beta": beta,
        "seed": seed,
    }


def _begin(form: Once) -> Json:
    """From the base model alone, or from the adapter of an earlier round."""
    names = [one["name"] for one in api().page("adapters", limit=100).items if one["state"] != "retired"]
    left, right = st.columns(2)
    start = left.selectbox(
        "Go on from", names, index=None, placeholder="The base model", key=form.widget("start"), **needs(Role.OPERATOR)
    )
    near = right.toggle(
        "Stay close to that adapter",
        key=form.widget("near"),
        **needs(Role.OPERATOR, unless="" if start else "Choose an adapter to go on from.", help="Otherwise, the base."),
    )
    return {"start_from": start, "reference": "start" if start and near else "base"}


def _list(cursor: str | None) -> bool:
    runs = api().page("training-runs", limit=25, cursor=cursor).items
    columns: Columns = {
        "requested_at": when("Requested"),
        "state": "State",
        "alias": "Alias",
        "adapter_name": "Adapter",
        "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=1, format="percent"),
        "loss": numbers("Loss", "%.3f"),
        "margin": numbers("Margin", "%.3f"),
        "actor": "By",
    }
    items = [run | {"progress": run["step"] / max(1, run["total_steps"])} for run in runs]
    if chosen := table(items, columns, "run_id", "No training yet. Start one above."):
        open_here(training=chosen["run_id"])
    return any(run["state"] in LIVE_STATES for run in runs)
