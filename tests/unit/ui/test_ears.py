"""What the console hears of a run while somebody looks at it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import ui.ears
from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui.api import Api
from ui.ears import Ear, being_said


def delta(step: str, seq: int, text: str) -> dict[str, Any]:
    return {"type": "token_delta", "step": step, "agent": "ada", "phase": "answer", "n": 0, "seq": seq, "text": text}


RECORDED = {"type": "workflow.step_recorded", "data": {"step": {"id": "done"}}}


def streamed(*messages: dict[str, Any]) -> bytes:
    frames = [f"event: {message['type']}\ndata: {json.dumps(message)}\n\n" for message in messages]
    return "".join([*frames, "id: 7\n\n"]).encode()


def soon(look: Callable[[], bool]) -> None:
    """Waits until it is so; the test fails where it never is."""
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def said(gateway: ScriptedGateway, *messages: dict[str, Any]) -> list[tuple[str, str]]:
    """By step, once the stream has ended."""
    gateway.standing["/v1/stream"] = streamed(*messages)
    ear = Ear(Api(gateway.url, "crv_secret"), "r-1")
    soon(lambda: not ear.listens)
    return [(one["step"], one["text"]) for one in ear.heard()]


def test_pieces_add_up_and_a_recorded_step_is_no_longer_being_said(gateway: ScriptedGateway) -> None:
    heard = said(gateway, delta("a", 0, "Be"), delta("done", 0, "No."), delta("a", 1, "cause"), RECORDED)
    assert heard == [("a", "Because")]


def test_a_text_begun_anew_replaces_what_was_said_before_and_nothing_follows_a_gap(gateway: ScriptedGateway) -> None:
    heard = said(gateway, delta("a", 0, "Be"), delta("a", 0, "Si"), delta("a", 2, "xx"), delta("b", 1, "late"))
    assert heard == [("a", "Si")]


def test_of_a_long_text_the_end_is_kept(gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui.ears, "SHOWN", 4)
    assert said(gateway, delta("a", 0, "abc"), delta("a", 1, "def")) == [("a", "cdef")]


def test_a_run_is_listened_to_once_and_anew_after_its_stream_has_ended(gateway: ScriptedGateway) -> None:
    gateway.answers_with({"title": "Unavailable"}, status=503)
    api = Api(gateway.url, "crv_secret")
    assert being_said(api, "r-1") == []
    gateway.standing["/v1/stream"] = streamed(delta("a", 0, "Be"))
    soon(lambda: [one["text"] for one in being_said(api, "r-1")] == ["Be"])
    assert {request.path for request in gateway.requests} == {
        "/v1/stream?workflow=r-1&types=workflow.step_recorded&deltas=true"
    }
