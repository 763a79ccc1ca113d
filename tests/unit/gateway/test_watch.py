"""`caravan watch` on what is no terminal: whole answers, in the order in which they are recorded."""

from __future__ import annotations

from typing import Any

from gateway.cli.output import console
from gateway.cli.watch import show_said


def delta(step: str, seq: int, text: str) -> dict[str, Any]:
    return {"type": "token_delta", "step": step, "agent": "ada", "phase": "answer", "n": 0, "seq": seq, "text": text}


def recorded(step: str, output: str) -> dict[str, Any]:
    said = {"id": step, "agent": "ada", "phase": "answer", "n": 0, "call": {"output": output}}
    return {"type": "workflow.step_recorded", "position": 5, "data": {"step": said}}


def used(result: str, error: str | None = None) -> dict[str, Any]:
    call = {"name": "math_add", "arguments": '{"a": 1}', "result": result, "error": error}
    step = {"id": "t", "agent": "ada", "phase": "tool", "n": 0, "call": call}
    return {"type": "workflow.tool_used", "position": 5, "data": {"step": step}}


def shown(*messages: dict[str, Any]) -> str:
    with console.capture() as captured:
        told = [*messages, {"type": "workflow.completed", "position": 9}, recorded("x", "never read")]
        show_said(told, lambda end: bool(end["position"] == 9))
    return captured.get()


def test_it_shows_each_answer_once_it_is_whole_and_ends_with_the_run():
    output = shown(delta("s", 0, "Be"), delta("s", 1, "cause"), recorded("s", "Because."), recorded("score", ""))
    assert output.split("\n")[:2] == ["ada answer Because.", "completed"]
    assert "never read" not in output


def test_it_shows_each_tool_with_what_it_was_given_and_what_came_of_it():
    output = shown(used("3.0"), used("", "it\x1b broke"))
    assert output.split("\n")[:2] == [
        'ada tool math_add({"a": 1}) → 3.0',
        'ada tool math_add({"a": 1}) → error: it broke',
    ]


def test_it_goes_on_where_a_run_that_ended_was_retried():
    output = shown({"type": "workflow.failed", "position": 8}, recorded("s", "Once more."))
    assert output.split("\n")[:3] == ["failed", "ada answer Once more.", "completed"]


def told(what: str, text: str = "") -> dict[str, Any]:
    report = {"what": what, "task": "0.1", "worker": "bob", "text": text, "tasks": []}
    return {"type": "workflow.workforce_reported", "position": 6, "data": {"n": 0, "report": report}}


def test_a_workforce_tells_who_does_what_and_where_a_rule_stood_in():
    output = shown(
        told("task_assigned"), told("rule_applied", "Nobody was\nnamed.\x1b[2J"), told("task_completed", "Long.")
    )
    assert output.split("\n")[:4] == [
        "task assigned · 0.1 · bob",
        "rule applied · 0.1 · bob · Nobody was named.[2J",
        "task completed · 0.1 · bob",
        "completed",
    ]


def test_nothing_that_a_model_says_commands_the_terminal_or_is_taken_for_markup():
    output = shown(recorded("s", "[red]\x1b]0;title\x07 \x9b2J[/red]\n\tok"))
    assert output.startswith("ada answer [red]]0;title 2J[/red]\n")
    assert not set(output) & {"\x1b", "\x07", "\x9b"}
