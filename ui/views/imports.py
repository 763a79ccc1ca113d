"""A file of preferences that were judged elsewhere, sent to be imported."""

from __future__ import annotations

import streamlit as st

from ui.links import go
from ui.once import Once
from ui.person import api, needs
from ui.session import Role

FORMATS = {
    "auto": "Recognise it",
    "trl": "TRL",
    "ultrafeedback": "UltraFeedback scores",
    "alpaca-eval": "AlpacaEval judgments",
    "hh": "HH transcripts",
    "caravan": "Our own export",
}


def import_pairs() -> None:
    """The form. The job that imports the file is shown then."""
    form = Once("import-pairs")
    allowed = needs(Role.OPERATOR)
    with st.expander("Import pairs from a file", icon=":material/upload:"):
        st.caption("What was judged elsewhere counts at once, flagged as imported. The same file again adds nothing.")
        file = st.file_uploader(
            "JSON Lines, gzipped or not, or Parquet",
            type=["jsonl", "gz", "parquet"],
            key=form.widget("file"),
            **allowed,
        )
        format = st.selectbox(
            "Format", list(FORMATS), format_func=FORMATS.__getitem__, key=form.widget("format"), **allowed
        )
        ready = needs(Role.OPERATOR, unless="" if file else "Choose a file first.")
        pressed = st.button("Import", icon=":material/upload:", key=form.widget("go"), **ready)
        if pressed and file:
            _send(form, file.getvalue(), file.name, format)


def _send(form: Once, content: bytes, name: str, format: str) -> None:
    body = {"sha256": api().send_file(content), "format": format, "name": name[:200]}
    if written := form.send("POST", "imports", body=body):
        go("jobs", job=written.id)
