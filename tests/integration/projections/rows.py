"""Rows of read models as they usually are; what matters to a test, and ids and positions, it says itself."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.builders import NOW

RUN: dict[str, Any] = {
    **dict.fromkeys(("batch", "task", "ref", "category", "actor"), ""),
    **dict.fromkeys(("turns", "roster_revision", "steps", "ballots", "unparseable", "version"), 1),
    **dict.fromkeys(("input_tokens", "output_tokens", "repeated", "takeovers"), 0),
    "limits": {},
    "failures": {},
    "shared": [],
    "kind": "mutual_ranking",
    "agents": [],
    "cast": [],
    "epoch": 1,
    "requested_at": NOW,
}
STEP: dict[str, Any] = {
    "phase": "answer",
    "agent": "anna",
    "model": "tiny",
    "n": 0,
    "attempt": 1,
    "cached": False,
    "messages": [],
    "output": "",
    "tool_calls": [],
    "input_tokens": 10,
    "output_tokens": 3,
    "latency": 0.2,
    "finish_reason": "stop",
    "recorded_at": NOW,
}
JOB: dict[str, Any] = {
    **dict.fromkeys(("kind", "queue"), "maintenance"),
    **dict.fromkeys(("attempt", "failures", "epoch"), 0),
    "max_attempts": 5,
    "timeout": 300.0,
    "priority": "normal",
    "payload": {},
    "actor": "",
    "requested_at": NOW,
    "due_at": NOW,
    "version": 1,
}


def run_row(position: int, **given: Any) -> dict[str, Any]:
    """A run's."""
    return RUN | _placed("run_id", position) | given


def job_row(position: int, **given: Any) -> dict[str, Any]:
    """A job's."""
    return JOB | _placed("job_id", position) | given


def _placed(key: str, position: int) -> dict[str, Any]:
    return {key: uuid4(), "correlation_id": uuid4(), "requested_position": position, "position": position}
