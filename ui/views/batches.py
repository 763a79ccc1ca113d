"""Batches: how far many tasks are, their runs, and what may be done about them."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import back, go, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import FILTER, Columns, facts, numbers, pager, state_badge, table, when
from ui.texts import ago, plain
from ui.troubles import live

UNFINISHED = ("running", "paused")
STATES = ("running", "paused", "completed", "stopped")
FELL_SHORT = ("failed", "timed_out", "exhausted")
DONE = ("completed", *FELL_SHORT)
ENDED = (*DONE, "stopped")
ICONS = {
    "pause": ":material/pause:",
    "resume": ":material/play_arrow:",
    "retry": ":material/replay:",
    "stop": ":material/stop:",
}


def page() -> None:
    """The list, or the batch that the address names."""
    if batch := opened("batch"):
        back("All batches")
        live(lambda: _draw(batch), going=_is_going(api().one("batches", batch)))
        return
    st.title("Batches")
    st.caption("Many tasks, each for a run of its own, of which so many are worked on at once. `caravan run --tasks`.")
    state = st.segmented_control("State", STATES, key="state", **FILTER)
    cursor = opened("cursor")
    newest = api().page("batches", limit=25, cursor=cursor, state=state)
    live(lambda: _list(cursor, state), going=any(map(_is_going, newest.items)))
    pager(newest)


def _list(cursor: str | None, state: str | None) -> bool:
    batches = api().page("batches", limit=25, cursor=cursor, state=state).items
    columns: Columns = {
        "requested_at": when("Requested"),
        "name": "Name",
        "state": "State",
        "done": st.column_config.ProgressColumn("Done", format="percent", min_value=0, max_value=1),
        "tasks": numbers("Tasks"),
        "at_once": numbers("At once"),
        "running": numbers("Running"),
        "short": numbers("Fell short"),
        "actor": "By",
    }
    rows = [batch | {"done": _done(batch) / batch["tasks"], "short": _fell_short(batch)} for batch in batches]
    if chosen := table(rows, columns, "batch_id", "There is no such batch."):
        open_here(batch=chosen["batch_id"])
    return any(map(_is_going, batches))


def _draw(id: str) -> bool:
    batch = api().one("batches", id)
    st.title(plain(batch["name"]))
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(batch["state"])
        bound = f", {batch['at_once']} at once" if batch["at_once"] else ""
        kind = batch["kind"].replace("_", " ")
        st.caption(f"{plain(kind)}{bound} · {ago(batch['requested_at'])} by {plain(batch['actor'])}")
        for verb in _verbs(batch):
            _change(batch, verb)
    if batch["reason"]:
        st.warning(plain(batch["reason"]), icon=":material/info:")
    done = _done(batch)
    st.progress(done / batch["tasks"], f"{done} of {batch['tasks']} tasks")
    facts(
        {
            "Waiting": f"{batch['waiting']:,}",
            "Running": f"{batch['running']:,}",
            "Completed": f"{batch['completed']:,}",
            "Fell short": f"{_fell_short(batch):,}",
            "Stopped": f"{batch['stopped']:,}",
            "Tokens": f"{batch['input_tokens'] + batch['output_tokens']:,}",
        }
    )
    _runs(id)
    link("events", "Its raw events", aggregate=id)
    return _is_going(batch)


def _runs(id: str) -> None:
    runs = api().page("workflows", limit=100, batch=id)
    columns: Columns = {
        "task": st.column_config.TextColumn("Task", width="large"),
        "ref": "Ref",
        "state": "State",
        "steps": numbers("Steps"),
        "output_tokens": numbers("Tokens out"),
        "reason": "Reason",
    }
    if chosen := table(runs.items, columns, "run_id", "No run of it was asked for yet."):
        go("runs", run=chosen["run_id"])
    if runs.next:
        st.caption("The newest hundred; `caravan runs --batch` lists them all.")


def _verbs(batch: Json) -> list[str]:
    """What may be done about the batch as it stands."""
    going = {"running": ["pause", "stop"], "paused": ["resume", "stop"]}.get(batch["state"], [])
    return going + (["retry"] if _fell_short(batch) and batch["state"] != "stopped" else [])


def _change(batch: Json, verb: str) -> None:
    form = Once(f"{verb}-{batch['batch_id']}")
    body = None if verb == "resume" else {"reason": ""}
    pressed = st.button(verb.capitalize(), icon=ICONS[verb], key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and form.send("POST", "batches", batch["batch_id"], verb, body=body):
        st.rerun()


def _ended(batch: Json) -> int:
    return sum(batch[state] for state in ENDED)


def _done(batch: Json) -> int:
    """How many tasks came to an end of their own: a stopped one did not."""
    return sum(batch[state] for state in DONE)


def _fell_short(batch: Json) -> int:
    return sum(batch[state] for state in FELL_SHORT)


def _is_going(batch: Json) -> bool:
    """Also a stopped one whose runs have not ended yet."""
    return batch["state"] in UNFINISHED or _ended(batch) < batch["requested"]
