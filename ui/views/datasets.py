"""Datasets: freeze the pairs as they stand now, and see what was built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from ui.api import Json
from ui.links import back, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import Columns, facts, numbers, pager, state_badge, table, when
from ui.texts import count, short
from ui.troubles import live
from ui.views.dataset_contents import contents, difference
from ui.views.imports import import_pairs

FURTHER = ("methods", "chosen_agents", "rejected_agents", "annotators", "verdicts", "since", "until")
"""Filters that are only named here; the manifest has what they say."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be had of a dataset. `what` names it, and `format` its form where there are several."""

    what: str
    label: str
    suffix: str
    mime: str
    format: str | None = None
    icon: str = ":material/download:"


DOWNLOADS = (
    Download("download", "Download JSON Lines", "jsonl", "application/jsonl"),
    Download("export", "Folder with a card", "zip", "application/zip", "folder"),
    Download("export", "Parquet", "parquet", "application/vnd.apache.parquet", "parquet"),
)
MANIFEST = Download("manifest", "Download manifest", "manifest.json", "application/json", icon=":material/description:")


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
    import_pairs()
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
                Role.OPERATOR,
                help="0 takes every pair. An annotator’s word weighs 1, other pairs as the ballots are sure.",
            ),
        )
        annotated = right.toggle(
            "Only pairs that somebody settled", **form.field("annotated", False), **needs(Role.OPERATOR)
        )
        percent = st.number_input(
            "Percent of the prompts to test on",
            0,
            90,
            **form.field("percent", 0),
            **needs(Role.OPERATOR, help="They are in a file of their own, and never trained on."),
        )
        pressed = st.button(
            "Build from the pairs as they are now",
            type="primary",
            icon=":material/build:",
            key=form.widget("go"),
            **needs(Role.OPERATOR),
        )
    parts = [{"name": "test", "percent": percent}] if percent else []
    body = {"filter": {"min_weight": weight, "annotated_only": annotated}, "parts": parts}
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
    st.caption("SHA-256 of what is trained on")
    st.code(dataset["sha256"], language=None)
    contents(dataset)
    with st.container(horizontal=True, vertical_alignment="center"):
        for each in (*DOWNLOADS, MANIFEST) if dataset["manifest_sha256"] else DOWNLOADS:
            st.download_button(
                each.label,
                partial(api().file, "datasets", id, each.what, format=each.format),
                file_name=f"{id}.{each.suffix}",
                mime=each.mime,
                icon=each.icon,
                on_click="ignore",
            )
        link("training", "Train on it", dataset=id)
    difference(dataset)
    return False


def _filter(filter: Json) -> str:
    parts = ["settled pairs only" if filter["annotated_only"] else "settled and unsettled pairs"]
    if filter["min_weight"]:
        parts.append(f"weight at least {filter['min_weight']}")
    if filter["runs"]:
        parts.append(f"of {count(len(filter['runs']), 'run')}")
    if others := [name for name in FURTHER if filter.get(name)]:
        parts.append(f"only some {', '.join(others)}".replace("_", " "))
    return ", ".join(parts)
