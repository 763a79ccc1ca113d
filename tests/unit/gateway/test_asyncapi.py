"""What goes out on NATS and on the live stream is as the AsyncAPI document says, also where it is no whole event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator, ValidationError

from adapters.live_text import TokenDelta
from adapters.relay import LARGEST, told
from gateway.asyncapi import asyncapi
from gateway.frames import Delta, Heartbeat
from gateway.streams import REVOKED, TOO_SLOW, UNAVAILABLE

DOCUMENT = asyncapi("1")


def validate(message: str, sent: dict[str, Any]) -> None:
    """Raises ValidationError."""
    Draft202012Validator(DOCUMENT | DOCUMENT["components"]["messages"][message]["payload"]).validate(sent)


def row(state: bytes) -> dict[str, Any]:
    """A preference's withdrawal, as it is stored."""
    return {
        "event_id": uuid4(),
        "project": "default",
        "topic": "preference.withdrawn",
        "originator_id": uuid4(),
        "recorded_at": datetime.now(UTC),
        "notification_id": 7,
        "originator_version": 2,
        "schema_version": 1,
        "actor_subject": "eva",
        "actor_kind": "human",
        "correlation_id": uuid4(),
        "causation_id": None,
        "command_id": uuid4(),
        "traceparent": None,
        "data_subjects": [],
        "state": state,
    }


def withdrawal(reason: str) -> bytes:
    return json.dumps({"timestamp": "2026-01-01T00:00:00Z", "reason": reason}).encode()


@pytest.mark.parametrize("state", [withdrawal("twice"), withdrawal("x" * LARGEST), b"\xff"])
def test_an_event_is_told_with_its_data_or_with_where_they_are(state):
    validate("preference.withdrawn", told(row(state)))


@pytest.mark.parametrize("name", ["data", "dataref"])
def test_an_event_without_either_is_none(name):
    event = told(row(withdrawal("x" * LARGEST if name == "dataref" else "twice")))
    del event[name]
    with pytest.raises(ValidationError):
        validate("preference.withdrawn", event)


def test_a_stream_may_bring_every_message_that_is_described():
    messages = DOCUMENT["channels"]["stream"]["messages"]
    assert messages.keys() == DOCUMENT["components"]["messages"].keys()
    assert messages.keys() > {"heartbeat", "ended"}


def test_what_is_no_event_on_a_stream_is_described_too():
    validate("heartbeat", json.loads(Heartbeat.at(7).text))
    for code, reason in (REVOKED, TOO_SLOW, UNAVAILABLE):
        validate("ended", {"code": code, "reason": reason})
    delta = TokenDelta(uuid4(), uuid4(), "ada", "answer", 0, 1, 0, "Be")
    validate("token_delta", json.loads(Delta.of(delta).text))
    with pytest.raises(ValidationError):
        validate("heartbeat", {"type": "heartbeat"})
