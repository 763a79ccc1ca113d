"""A request's context: what is taken over from the caller, and what never is."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access import Caller, Role
from domain.errors import Invalid
from domain.events import Actor, ActorKind
from gateway.context import RequestContext, envelope_of, repeatable

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
ADA = Caller(Actor("ada", ActorKind.HUMAN), Role.ANNOTATOR)
BOB = Caller(Actor("bob", ActorKind.HUMAN), Role.ANNOTATOR)
CONTEXT = RequestContext.of({})
TARGET = "/v1/preferences"


def test_a_callers_trace_goes_on_with_a_span_of_our_own() -> None:
    sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    context = RequestContext.of({"traceparent": sent})
    assert context.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert context.traceparent.endswith("-01")
    assert context.traceparent != sent


@given(st.text(max_size=80))
def test_a_traceparent_is_well_formed_whatever_was_sent(sent: str) -> None:
    assert TRACEPARENT.fullmatch(RequestContext.of({"traceparent": sent}).traceparent)


@pytest.mark.parametrize(
    "sent",
    [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    ],
)
def test_a_traceparent_that_the_standard_forbids_begins_a_new_trace(sent: str) -> None:
    assert RequestContext.of({"traceparent": sent}).trace_id != sent.split("-")[1].lower()


@given(st.text(max_size=80))
def test_a_request_id_is_safe_to_log_whatever_was_sent(sent: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", RequestContext.of({"x-request-id": sent}).request_id)


def test_a_correlation_id_is_taken_over_if_it_is_a_uuid() -> None:
    sent = UUID(int=7)
    assert RequestContext.of({"x-correlation-id": str(sent)}).correlation_id == sent
    assert RequestContext.of({"x-correlation-id": "seven"}).correlation_id != sent


def test_a_command_id_follows_from_caller_method_target_and_key() -> None:
    def id_of(caller: Caller = ADA, method: str = "POST", target: str = TARGET, key: str = "k") -> UUID | None:
        return repeatable(envelope_of(caller, CONTEXT), key, method, target, b"").command_id

    assert id_of() == id_of()
    assert len({id_of(), id_of(BOB), id_of(method="PUT"), id_of(target="/v1/datasets"), id_of(key="l")}) == 5


def test_the_fingerprint_tells_a_repeat_from_another_request() -> None:
    def fingerprint(body: bytes) -> bytes | None:
        return repeatable(envelope_of(ADA, CONTEXT), "k", "POST", TARGET, body).fingerprint

    assert fingerprint(b"{}") == fingerprint(b"{}")
    assert fingerprint(b"{}") != fingerprint(b"{ }")


def test_without_a_key_there_is_nothing_to_repeat() -> None:
    envelope = envelope_of(ADA, CONTEXT)
    assert (envelope.command_id, envelope.fingerprint) == (None, None)
    assert envelope.actor == ADA.actor


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\n"])
def test_a_key_is_visible_ascii(key: str) -> None:
    with pytest.raises(Invalid):
        repeatable(envelope_of(ADA, CONTEXT), key, "POST", TARGET, b"")
