"""Adapters: what training made, which one is in use, and each one's passport."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import back, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, facts, numbers, pager, state_badge, table, when
from ui.texts import ago, plain
from ui.views import adapter_passport
from ui.views.serving import show_serving

PASSPORT = {
    "sha256": "SHA-256 of the weights",
    "dataset_sha256": "SHA-256 of the dataset",
    "base_sha256": "SHA-256 of the base’s weights",
    "base_model": "Base model",
    "position": "As of position",
}


def page() -> None:
    """The list, or the adapter that the address names."""
    if adapter := opened("adapter"):
        back("All adapters")
        _show(api().one("adapters", adapter))
        return
    st.title("Adapters")
    st.caption("An alias in agents.yaml means its adapter that was promoted last. Runs that have begun keep theirs.")
    adapters = api().page("adapters", limit=50, cursor=opened("cursor"))
    columns: Columns = {
        "name": "Adapter",
        "state": "State",
        "pairs": numbers("Pairs"),
        "registered_at": when("Registered"),
        "promoted_at": when("Promoted"),
        "reason": "Reason",
    }
    items = [one | {"state": _standing(one), "pairs": one["passport"]["pairs"]} for one in adapters.items]
    empty = "No adapter yet. A training makes one: start it under Training."
    if chosen := table(items, columns, "name", empty):
        open_here(adapter=chosen["name"])
    pager(adapters)
    show_serving()


def _standing(adapter: Json) -> str:
    return "in use" if adapter["in_use"] else str(adapter["state"])


def _show(adapter: Json) -> None:
    name, passport = adapter["name"], adapter["passport"]
    st.title(plain(name))
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(_standing(adapter))
        said = f" · {plain(adapter['reason'])}" if adapter["reason"] else ""
        st.caption(f"registered {ago(adapter['registered_at'])}{said}")
    _change(adapter)
    st.subheader("Passport")
    config = passport["config"]
    steps = passport["steps"] or config["max_steps"]
    facts({"Pairs": f"{passport['pairs']:,}", "Steps": str(steps), "Seed": str(config["seed"])})
    places = st.columns(2)
    for index, (field, title) in enumerate(PASSPORT.items()):
        with places[index % 2]:
            st.caption(title)
            st.code(str(passport[field]), language=None, wrap_lines=True)
    with st.expander("Configuration", icon=":material/tune:"):
        st.json(config)
    if passport["made_with"]:
        st.caption("Made with " + plain(", ".join(f"{part} {said}" for part, said in passport["made_with"].items())))
    with st.container(horizontal=True):
        link("training", "Its training", training=passport["training_run"])
        link("datasets", "Its dataset", dataset=passport["dataset_id"])
        link("log", "What it said", adapter=name)
    adapter_passport.evaluations(name, retired=adapter["state"] == "retired")
    adapter_passport.became(api().one("adapters", name, "passport"))


def _change(adapter: Json) -> None:
    name = adapter["name"]
    form = Once(f"adapter-{name}", adapter["version"])
    retired = "A retired adapter stays retired. Promote another one." if adapter["state"] == "retired" else ""
    in_use = f"{adapter['alias']} means this adapter already." if adapter["in_use"] else ""
    with st.container(border=True):
        reason = st.text_input(
            "Reason",
            placeholder="Why; it stays in the history",
            **form.field("reason"),
            **needs(Role.OPERATOR, unless=retired),
        )
        with st.container(horizontal=True):
            promote = st.button(
                "Promote",
                type="primary",
                icon=":material/rocket_launch:",
                key=form.widget("promote"),
                **needs(Role.OPERATOR, unless=retired or in_use),
            )
            roll_back = st.button(
                "Roll back",
                icon=":material/undo:",
                key=form.widget("rollback"),
                **needs(Role.OPERATOR, unless="" if adapter["in_use"] else "It is not in use."),
            )
            retire = st.button(
                "Retire",
                icon=":material/inventory_2:",
                key=form.widget("retire"),
                **needs(Role.OPERATOR, unless=retired),
            )
    if (promote or roll_back) and not reason.strip():
        st.warning("Say why: the reason stays in its history.")
    elif roll_back:
        body = {"reason": reason, "adapter": name}
        if form.send("POST", "adapters", adapter["alias"], "rollback", body=body):
            st.toast(f"{name} is out of use.", icon=":material/check:")
            st.rerun()
    elif promote or retire:
        verb = "promote" if promote else "retire"
        if form.send("POST", "adapters", name, verb, body={"reason": reason}, version=adapter["version"]):
            st.toast(f"{name}: {verb}d.", icon=":material/check:")
            st.rerun()
