"""Datasets: freeze the pairs as they stand now, and see what was built."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import back, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.sessions import Role
from ui.tables import Columns, facts, numbers, pager, state_badge, table, when
from ui.texts import count, short
from ui.troubles import live


def page() -> None:
    """The list, or the dataset that the address names."""
    if dataset := opened("dataset"):
        back("All datasets")
        state = api().one("datasets", dataset)["state"]
        live(lambda: _draw(dataset), going=state == "requested")
        return
    st.title("Datasets")
    st.caption("A dataset holds the pairs as they stood at one moment. The same moment and filter give the same bytes.")
    _build()
    datasets = api().page("datasets", limit=25, cursor=opened("cursor"))
    columns: Columns = {
        "requested_at": when("Requested"),
        "state": "State",
        "pairs": numbers("Pairs"),
        "annotated": numbers("Annotated"),
        "as_of": numbers("As of position"),
        "sha256": "SHA-256",
        "actor": "By",
    }
    if chosen := table(datasets.items, columns, "dataset_id", "No dataset yet. Build the first one above."):
        open_here(dataset=chosen["dataset_id"])
    pager(datasets)


def _build() -> None:
    form = Once("build-dataset")
    with st.container(border=True):
        st.subheader("Build a dataset")
        left, right = st.columns(2)
        weight = left.slider(
            "Least weight",
            0.0,
            1.0,
            step=0.05,
            **form.field("weight", 0.0),
            **needs(
                Role.OPERATOR, help="0 takes every pair. A person’s word weighs 1, other pairs as the ballots are sure."
            ),
        )
        annotated = right.toggle(
            "Only pairs that somebody settled", **form.field("annotated", False), **needs(Role.OPERATOR)
        )
        pressed = st.button(
            "Build from the pairs as they are now",
            type="primary",
            icon=":material/build:",
            key=form.widget("go"),
            **needs(Role.OPERATOR),
        )
    body = {"filter": {"min_weight": weight, "annotated_only": annotated}}
    if pressed and (written := form.send("POST", "datasets", body=body)):
        open_here(dataset=written.id)


def _draw(id: str) -> bool:
    dataset = api().one("datasets", id)
    st.title(f"Dataset {short(id)}")
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(dataset["state"])
        st.caption(f"As of position {dataset['as_of']:,} · {_filter(dataset['filter'])}")
    if dataset["state"] == "requested":
        st.info("It is being built. This takes a moment.", icon=":material/hourglass_top:")
        return True
    facts(
        {
            "Pairs": f"{dataset['pairs']:,}",
            "Annotated": f"{dataset['annotated']:,}",
            "Size": f"{dataset['size'] / 1000:,.1f} kB",
        }
    )
    st.caption("SHA-256 of the file")
    st.code(dataset["sha256"], language=None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download JSON Lines",
            lambda: api().file("datasets", id, "download"),
            file_name=f"{id}.jsonl",
            mime="application/jsonl",
            icon=":material/download:",
            on_click="ignore",
        )
        link("training", "Train on it", dataset=id)
    return False


def _filter(filter: Json) -> str:
    parts = ["settled pairs only" if filter["annotated_only"] else "settled and unsettled pairs"]
    if filter["min_weight"]:
        parts.append(f"weight at least {filter['min_weight']}")
    if filter["runs"]:
        parts.append(f"of {count(len(filter['runs']), 'run')}")
    return ", ".join(parts)
