"""What a workforce tells of its work."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.person import api
from ui.tables import Columns, sheet, when


def show_work(run: Json) -> None:
    """Who did which sub-task, in the order in which it was told."""
    events = api().every("events", run=run["run_id"], type="workflow.workforce_reported")
    columns: Columns = {
        "recorded_at": when("Told"),
        "what": "What",
        "task": st.column_config.TextColumn("Task", help="0 is the whole task, 0.1 its first sub-task."),
        "worker": "Worker",
        "text": st.column_config.TextColumn("Text", width="large", help="Its beginning; Steps has all of it."),
    }
    sheet([_told(event) for event in events], columns, "work", "Nothing is told yet: first the plan is made.")


def _told(event: Json) -> Json:
    report = event["data"]["report"]
    text = report["text"] or ", ".join(report["tasks"])
    return {**report, "recorded_at": event["time"], "what": report["what"].replace("_", " "), "text": text}
