"""`caravan watch`: what the agents of a run say, word by word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from domain.workflow import FELL_SHORT, FINISHED
from gateway.cli.client import Api, Json, open_api
from gateway.cli.follow import events
from gateway.cli.output import complain, console, plain_errors
from gateway.settings import Settings

app = typer.Typer()

ENDINGS = frozenset(f"workflow.{state}" for state in FINISHED)
SHOWN = 400
"""Characters of an unfinished answer: its end."""
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What would move a terminal's cursor, or worse; models may say anything."""


@app.command()
def watch(run: UUID) -> None:
    """Watch a run from its beginning to its end: answers grow word by word; where no terminal is, they come whole.

    Exit code 1 where it fell short.
    """
    with plain_errors():
        api = open_api(Settings())
        api.get(f"/v1/workflows/{run}")
        show_said(events(api, after=0, workflow=run, deltas=True), lambda end: _is_last(api, run, end))
        if tell_what_fell_short([api.get(f"/v1/workflows/{run}")]):
            raise typer.Exit(1)


def show_said(messages: Iterable[Json], is_last: Callable[[Json], bool]) -> None:
    """Events and token deltas of one run, up to the event that ends it: one that ended may have been retried."""
    growing: dict[str, Json] = {}
    with Live(console=console, transient=True, auto_refresh=console.is_terminal) as screen:
        for message in messages:
            match message["type"]:
                case "token_delta":
                    _grow(growing, message)
                case "workflow.step_recorded":
                    step = message["data"]["step"]
                    growing.pop(step["id"], None)
                    if output := step["call"]["output"]:
                        console.print(_said(step, output, again=step["call"].get("cached", False)))
                case "workflow.tool_used":
                    step = message["data"]["step"]
                    console.print(_said(step, used(step["call"])))
                case "workflow.workforce_reported":
                    console.print(_told(message["data"]["report"]))
                case ending if ending in ENDINGS:
                    console.print(Text(ending.removeprefix("workflow."), "dim"))
                    if is_last(message):
                        return
            screen.update(Group(*(_said(one, f"…{one['text'][-SHOWN:]}▌") for one in growing.values())))


def tell_what_fell_short(runs: Iterable[Json]) -> bool:
    """Why each of them did; whether any has."""
    short = [run for run in runs if run["state"] in FELL_SHORT]
    for run in short:
        complain(f"run {run['run_id']} {run['state'].replace('_', ' ')}: {run['reason']}")
    return bool(short)


def used(call: Json) -> str:
    """A tool, what it was given, and what came of it."""
    came = call["result"] if call["error"] is None else f"error: {call['error']}"
    return f"{call['name']}({call['arguments']}) → {came}"


def _is_last(api: Api, run: UUID, event: Json) -> bool:
    """Whether nothing has become of the run since that event."""
    return bool(api.get(f"/v1/workflows/{run}", after=event["position"])["position"] == event["position"])


def _grow(growing: dict[str, Json], delta: Json) -> None:
    """What follows a gap would make no sense; the whole text comes with the step."""
    before = growing.get(delta["step"])
    if delta["seq"] == 0:
        growing[delta["step"]] = delta
    elif before and delta["seq"] == before["seq"] + 1:
        growing[delta["step"]] = delta | {"text": before["text"] + delta["text"]}


def _said(step: Json, text: str, again: bool = False) -> Text:
    phase = f"{step['phase']} {'(cached) ' if again else ''}"
    return Text.assemble((f"{step['agent']} ", "bold"), (phase, "dim"), text.translate(_CONTROLS))


def _told(report: Json) -> Text:
    """In a line, without the answers: the steps say them. What a rule did and why something failed is nowhere else."""
    what = report["what"]
    why = report["text"] if what in ("task_created", "task_failed", "rule_applied") else ""
    said = (what.replace("_", " "), report["task"], report["worker"], why)
    line = " · ".join(" ".join(part.split()) for part in said if part)
    return Text(line[:SHOWN].translate(_CONTROLS), "dim")
