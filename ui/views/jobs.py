"""Jobs: how the queues stand, the periodic ones, and the dead letters."""

from __future__ import annotations

import streamlit as st

from ui.api import Json
from ui.links import back, link, open_here, opened
from ui.once import Once
from ui.person import api, needs
from ui.session import Role
from ui.tables import FILTER, Columns, numbers, pager, sheet, state_badge, table, when
from ui.texts import ago, plain
from ui.troubles import live

UNFINISHED = ("waiting", "running")
STATES = ("waiting", "running", "succeeded", "dead", "cancelled")
EVENTS: Columns = {"time": when("When"), "type": "What", "attempt": "Attempt", "worker": "Worker", "said": "Said"}


def page() -> None:
    """The list, or the job that the address names."""
    if job := opened("job"):
        back("All jobs")
        _show(job)
        return
    st.title("Jobs")
    st.caption(
        "Maintenance and checks that workers do, by schedule or when somebody asks. What failed for good is dead."
    )
    _ask()
    _queues()
    state = st.segmented_control("State", STATES, key="state", **FILTER)
    cursor = opened("cursor")
    newest = api().page("jobs", limit=25, cursor=cursor, state=state)
    live(lambda: _list(cursor, state), going=any(job["state"] in UNFINISHED for job in newest.items))
    pager(newest)
    _schedules()


def _ask() -> None:
    form = Once("ask-job")
    kinds = {kind["name"]: kind["purpose"] for kind in api().all("jobs", "kinds")}
    with st.container(border=True, horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Kind",
            list(kinds),
            format_func=lambda name: f"{name}: {kinds[name]}",
            key=form.widget("kind"),
            **needs(Role.OPERATOR),
        )
        pressed = st.button("Ask for it", icon=":material/play_arrow:", key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and (written := form.send("POST", "jobs", body={"kind": kind})):
        open_here(job=written.id)


def _queues() -> None:
    columns: Columns = {
        "queue": "Queue",
        "depth": numbers("Waiting"),
        "oldest_seconds": numbers("The oldest for", "%.0f s"),
        "resting": numbers("Resting", help="Until their time, or the end of a rest between two attempts."),
        "running": numbers("Running"),
        "dead": numbers("Dead"),
        "failures": numbers("Failed attempts"),
    }
    sheet(api().all("jobs", "queues"), columns, "queues", "No job yet. Ask for one above, or wait for a schedule.")


def _list(cursor: str | None, state: str | None) -> bool:
    jobs = api().page("jobs", limit=25, cursor=cursor, state=state).items
    columns: Columns = {
        "requested_at": when("Requested"),
        "kind": "Kind",
        "state": "State",
        "priority": "Priority",
        "attempt": numbers("Attempt"),
        "progress": "Progress",
        "error": st.column_config.TextColumn("Last error", width="large"),
        "actor": "By",
    }
    if chosen := table(jobs, columns, "job_id", "There is no such job."):
        open_here(job=chosen["job_id"])
    return any(job["state"] in UNFINISHED for job in jobs)


def _schedules() -> None:
    st.subheader("Periodic jobs")
    rows = [
        each | {"state": last["state"] if last else "", "requested_at": last and last["requested_at"]}
        for each in api().all("schedules")
        for last in [each["last_job"]]
    ]
    columns: Columns = {
        "name": "Schedule",
        "cron": "Cron, in UTC",
        "next_due": when("Due next"),
        "requested_at": when("Last"),
        "state": "State",
    }
    sheet(rows, columns, "schedules", "There are no periodic jobs: the settings say so.")


def _show(id: str) -> None:
    job = api().one("jobs", id)
    live(lambda: _draw(id), going=job["state"] in UNFINISHED)


def _draw(id: str) -> bool:
    job = api().one("jobs", id)
    st.title(plain(job["kind"]))
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(job["state"])
        st.caption(
            f"{plain(job['queue'])}, priority {job['priority']} · {ago(job['requested_at'])} by {plain(job['actor'])}"
        )
        _change(job)
    if said := job["reason"] or job["error"]:
        st.warning(plain(said), icon=":material/info:")
    if job["progress"] and job["state"] == "running":
        st.info(plain(job["progress"]), icon=":material/sync:")
    if job["result"] is not None:
        st.subheader("Result")
        st.json(job["result"])
    st.subheader("History")
    rows = [event | event["data"] | {"said": _said(event["data"])} for event in job["history"]]
    sheet(rows, EVENTS, "history", "Nothing has happened yet.")
    with st.expander("Payload", icon=":material/tune:"):
        st.json(job["payload"])
    link("events", "Its raw events", aggregate=id)
    return job["state"] in UNFINISHED


def _said(data: Json) -> str | None:
    return data.get("error") or data.get("reason") or data.get("text")


def _change(job: Json) -> None:
    """What may be done about the job as it stands."""
    if job["state"] == "dead":
        _offer(job, "replay", ":material/replay:")
    if job["state"] in (*UNFINISHED, "dead"):
        _offer(job, "cancel", ":material/stop:", body={"reason": ""})


def _offer(job: Json, verb: str, icon: str, body: Json | None = None) -> None:
    form = Once(f"{verb}-{job['job_id']}")
    pressed = st.button(verb.capitalize(), icon=icon, key=form.widget("go"), **needs(Role.OPERATOR))
    if pressed and form.send("POST", "jobs", job["job_id"], verb, body=body):
        st.rerun()
