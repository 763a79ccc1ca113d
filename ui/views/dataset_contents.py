"""What is in a dataset: its files, what was left out, how long its texts are, and what differs from another one."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.person import api
from ui.tables import Columns, numbers, sheet
from ui.texts import count, short

LEFT_OUT = {
    "withdrawn": "Withdrawn",
    "unwanted": "Rejected, or not what the filter takes",
    "open": "People are still to settle it",
    "held_out": "Overlaps with a holdout",
    "contradicted": "Said both ways",
    "duplicate": "Says the same as another",
}
FILES: Columns = {
    "part": "Part",
    "pairs": numbers("Pairs"),
    "annotated": numbers("Annotated"),
    "size": numbers("Size", format="bytes"),
    "sha256": "SHA-256",
}
COUNTS: Columns = {"of": "", "pairs": numbers("Pairs")}
LENGTHS: Columns = {
    "of": "Length of",
    "median": numbers("Median"),
    "p90": numbers("90 %"),
    "p99": numbers("99 %"),
    "most": numbers("Longest"),
}
CHANGES: Columns = {
    "preference_id": "Pair",
    "change": "Change",
    "flipped": "Flipped",
    "columns": "Columns",
    "was_part": "From",
    "part": "To",
}


def contents(dataset: Json) -> None:
    """The manifest's figures; nothing for a dataset that was built before there were any."""
    found = dataset["contents"]
    if not found:
        return
    sheet(found["files"], FILES, "files", "")
    left, right = st.columns(2)
    with left:
        st.caption("Pairs that are in it, by verdict and by method")
        sheet(_counts(found["verdicts"] | found["methods"]), COUNTS, "counts", "It holds no pair.")
    with right:
        st.caption("Pairs that are not in it, by reason")
        reasons = {LEFT_OUT.get(reason, reason): number for reason, number in found["dropped"].items()}
        sheet(_counts(reasons), COUNTS, "dropped", "Every pair that was proposed is in it.")
    if found["contradictions"] or found["overlapping"]:
        st.caption(
            f"{count(found['contradictions'], 'choice')} said both ways · "
            f"{count(found['overlapping'], 'pair')} like a holdout"
        )
    sheet(_lengths(found), LENGTHS, "lengths", "No text to measure.")
    if tokens := found["tokens"]:
        over = ", ".join(f"{number:,} over {limit}" for limit, number in tokens["over"].items())
        st.caption(f"Tokens of {count(tokens['pairs'], 'pair')} drawn from it: {over}")


def difference(dataset: Json) -> None:
    """What became of each pair since another dataset, which the person chooses."""
    others = {other["dataset_id"]: other for other in api().page("datasets").items if _comparable(other, dataset)}
    chosen = st.selectbox(
        "Compare with",
        list(others),
        index=None,
        format_func=lambda id: f"{short(id)} as of {others[id]['as_of']:,}, {count(others[id]['pairs'], 'pair')}",
        placeholder="Another dataset",
        key=f"against.{dataset['dataset_id']}",
    )
    if not chosen:
        return
    found = api().one("datasets", dataset["dataset_id"], "diff", against=chosen, limit=200)
    st.caption(" · ".join(f"{number:,} {change}" for change, number in found["counts"].items()))
    sheet(found["items"], CHANGES, "changes", "Every pair is the same in both.")
    if found["next"]:
        st.caption("These are the first 200; `caravan dataset diff` shows all.")


def _counts(counts: Json) -> list[Json]:
    return [{"of": name, "pairs": number} for name, number in counts.items()]


def _lengths(found: Json) -> list[Json]:
    rows = [{"of": f"{text}, characters", **lengths} for text, lengths in found["characters"].items()]
    return [*rows, {"of": "pair, tokens", **found["tokens"]["lengths"]}] if found["tokens"] else rows


def _comparable(other: Json, dataset: Json) -> bool:
    return bool(other["sha256"] and other["dataset_id"] != dataset["dataset_id"])
