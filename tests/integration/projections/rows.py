"""Rows of read models as they usually are; what matters to a test, and ids and positions, it says itself."""

from __future__ import annotations

from typing import Any

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
