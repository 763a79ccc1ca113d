"""How far people agree with each other, and the judges with them."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.person import api
from ui.tables import Columns, numbers, sheet

ALPHA = "Krippendorff's, ordinal: 1 is agreement, 0 is chance. Empty: nothing is shared, or all is the same."
KAPPA = "Cohen's, against most people: 1 is agreement, 0 is chance. None where both said the same of all."


def agreement() -> None:
    """A panel below the queue; what it tells is counted when it is opened."""
    if not st.toggle("How far people agree", key="agreement", bind="query-params"):
        return
    found = api().one("annotations", "agreement")
    rows = [{"of": "The verdict"} | found["overall"]]
    rows += [{"of": f"{each['criterion']} (rubric {each['rubric']})"} | each for each in found["criteria"]]
    columns: Columns = {
        "of": "Of",
        "annotators": numbers("Annotators"),
        "pairs": numbers("Shared pairs", help="That two or more people judged."),
        "unanimous": numbers("Unanimous"),
        "alpha": numbers("Alpha", "%.3f", ALPHA),
    }
    sheet(rows, columns, "alpha", "Nobody has judged yet.")
    _judges(found["judges"])


def _judges(judges: list[Json]) -> None:
    columns: Columns = {
        "judge": "Judge",
        "method": "Ballots by",
        "pairs": numbers("Pairs", help="Of which most people prefer one answer, and on which it cast a ballot."),
        "agreed": numbers("Agrees"),
        "kappa": numbers("Kappa", "%.3f", KAPPA),
    }
    sheet(judges, columns, "kappa", "No judge has a ballot on a pair that people settled.")
