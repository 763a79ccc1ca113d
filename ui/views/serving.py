"""Which adapters each model server serves, against those that it should."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.person import api
from ui.tables import Columns, numbers, sheet, when
from ui.texts import plain


def show_serving() -> None:
    """A row a model server, and below it what keeps it from serving the rest."""
    standing = api().serving()
    st.subheader("Served by")
    columns: Columns = {
        "replica": "Model server",
        "state": "State",
        "since": when("Since"),
        "served": numbers("Adapters served"),
        "wanted": numbers("That should be"),
    }
    rows = [one | {which: len(one[which]) for which in ("served", "wanted")} for one in standing["replicas"]]
    sheet(rows, columns, "serving", _nobody(standing))
    for reason in _reasons(standing):
        st.warning(plain(reason))


def _nobody(standing: Json) -> str:
    if standing["looked_after"]:
        return "No model server is to be looked after; CARAVAN_REPLICAS names those that are."
    return "No worker looks after model servers now. `caravan worker` does."


def _reasons(standing: Json) -> list[str]:
    return [reason for one in standing["replicas"] for reason in (one["error"], *one["refused"].values()) if reason]
